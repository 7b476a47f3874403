"""Pulumi's engine for the tests, in `.tools/engine`: the CLI, built from the Go module proxy, and starters of our own
language host and providers, as neither Python's host nor AWS's provider can be built from there; kind, to look at.

`python -m tests.engine.build` builds what is missing and prints the folder; with `kubernetes` the provider of
Kubernetes as well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools" / "engine"
# `go install` refuses a module with replace directives, so a module of our own requires it.
MODULE = "module build\n\ngo 1.24\n"
PLUGINS = {
    "pulumi-language-python": "language_host.py",
    "pulumi-resource-aws": "provider.py aws",
    "pulumi-resource-github": "provider.py github",
}


@dataclass(frozen=True)
class Program:
    """A program that Go builds.

    Attributes:
        name, version: of the file.
        required: modules with their versions.
        pinned: modules whose versions are lowered again, as the program does not compile with newer ones.
        package: what is built; the folder's own by default.
        source: of that own program.
    """

    name: str
    version: str
    required: tuple[str, ...]
    pinned: tuple[str, ...] = ()
    package: str = "."
    source: str = ""

    @property
    def file(self) -> Path:
        """Where it is kept, by its version."""
        return FOLDER / f"{self.name}-{self.version}"

    def build(self) -> None:
        """Build it (minutes); a build that was cut off leaves nothing.

        Raises:
            SystemExit: with what Go says.
        """
        tools = f'//go:build tools\n\npackage build\n\nimport _ "{self.package}"\n'
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "go.mod").write_text(MODULE)
            Path(folder, "main.go").write_text(self.source or tools)
            _go(folder, "get", *self.required)
            if self.pinned:
                _go(folder, "mod", "tidy", "-e")
                _go(folder, "get", *self.pinned)
            _go(folder, "build", "-ldflags=-s -w", "-o", "built", self.package)
            shutil.copy2(Path(folder, "built"), part := self.file.with_suffix(".part"))
            part.rename(self.file)


CLI = Program(
    "pulumi",
    "v3.274.1",
    required=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@v3.274.1",),
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
)
KIND = Program("kind", "v0.33.0", required=("sigs.k8s.io/kind@v0.33.0",), package="sigs.k8s.io/kind")
# Its own schema is for the generation of code and not in the module; what the engine asks of it is the name.
KUBERNETES = Program(
    "pulumi-resource-kubernetes",
    version("pulumi-kubernetes"),
    required=(
        "github.com/pulumi/pulumi-kubernetes/sdk/v4@v4.32.0",
        "github.com/pulumi/pulumi-kubernetes/provider/v4@v4.0.0-20260115033456-f47bc2d6f199",
    ),
    pinned=("github.com/pulumi/pulumi/pkg/v3@v3.224.0", "github.com/pulumi/pulumi/sdk/v3@v3.224.0"),
    source=f"""package main

import "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"

func main() {{
	provider.Serve("kubernetes", "{version("pulumi-kubernetes")}", []byte(`{{"name":"kubernetes"}}`), []byte(`{{}}`))
}}
""",
)


def _go(folder: str, *arguments: str) -> None:
    done = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        env=os.environ | {"GOFLAGS": "-mod=mod"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and arguments[0] != "mod":  # tidy ends with 1 for tests that it cannot resolve
        raise SystemExit(f"go {arguments[0]} failed, so there is no engine to test with:\n{done.stderr[-2000:]}")


def write_plugins(folder: Path) -> None:
    """Write the programs that the engine starts by their names, each with the Python of this run."""
    for name, program in PLUGINS.items():
        plugin = folder / name
        plugin.unlink(missing_ok=True)
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent}"/{program} "$@"\n')
        plugin.chmod(0o755)


def build(*programs: Program) -> Path:
    """Return the folder that a PATH needs first, after building what it lacks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for program in programs:
        if not program.file.exists():
            program.build()
        name = FOLDER / program.name
        name.unlink(missing_ok=True)
        os.link(program.file, name)
    write_plugins(FOLDER)
    return FOLDER


if __name__ == "__main__":
    print(build(CLI, KIND, *([KUBERNETES] if "kubernetes" in sys.argv else [])))
