"""Pulumi's engine for the tests, in `.tools/engine`: the CLI, built from the Go module proxy, and starters of our own
language host and providers, as neither Python's host nor the cloud providers can be built from there.

`python -m tests.engine.build` builds what is missing and prints the folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLI = "v3.274.1"
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools" / "engine"
# `go install` refuses a module with replace directives, so a module of our own requires it.
MODULE = "module build\n\ngo 1.24\n"
IMPORT = '//go:build tools\n\npackage build\n\nimport _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"\n'
PLUGINS = {
    "pulumi-language-python": "language_host.py",
    "pulumi-resource-aws": "provider.py aws",
    "pulumi-resource-github": "provider.py github",
}


def build_cli(target: Path) -> None:
    """Build the CLI with Go into a file (minutes, 170 MB); a build that was cut off leaves nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "go.mod").write_text(MODULE)
        Path(folder, "main.go").write_text(IMPORT)
        environment = os.environ | {"GOFLAGS": "-mod=mod"}
        for arguments in (
            ["get", f"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@{CLI}"],
            ["build", "-ldflags=-s -w", "-o", "pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
        ):
            done = subprocess.run(
                ["go", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(
                    f"go {arguments[0]} failed, so there is no engine to test with:\n{done.stderr[-2000:]}"
                )
        shutil.copy2(Path(folder, "pulumi"), part := target.with_suffix(".part"))
        part.rename(target)


def write_plugins(folder: Path) -> None:
    """Write the programs that the engine starts by their names, each with the Python of this run."""
    for name, program in PLUGINS.items():
        plugin = folder / name
        plugin.unlink(missing_ok=True)
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent}"/{program} "$@"\n')
        plugin.chmod(0o755)


def build() -> Path:
    """Return the folder that a PATH needs first, after building what it lacks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    versioned = FOLDER / f"pulumi-{CLI}"
    if not versioned.exists():
        build_cli(versioned)
    cli = FOLDER / "pulumi"
    cli.unlink(missing_ok=True)
    os.link(versioned, cli)
    write_plugins(FOLDER)
    return FOLDER


if __name__ == "__main__":
    print(build())
