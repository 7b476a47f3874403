"""Pulumi's engine on a cloud in a folder, and a checkout of its own for it: what a test asks, and what it answers."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REAL = ("aws:", "github:", "kubernetes:")
"""What types of things begin with; the others are components and providers."""


@dataclass(frozen=True)
class Engine:
    """The engine with a backend, a home and a cloud of its own.

    Attributes:
        bin: the folder of the CLI and its plugins.
        folder: holds backend, home and cloud, and nothing of the machine's user.
        checkout: the root of the project whose programs run.
        environ: variables besides.
    """

    bin: Path
    folder: Path
    checkout: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def cloud(self) -> Path:
        """The folder of what exists on AWS."""
        return self.folder / "cloud/aws"

    @property
    def variables(self) -> dict[str, str]:
        """The variables of every command: no credentials of this machine, no files outside of the folder."""
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "GITHUB_"))
        }
        return {
            **kept,
            "PATH": f"{self.bin}:{Path(sys.executable).parent}:{kept['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{self.folder}/state",
            "PULUMI_CONFIG_PASSPHRASE": "of a test",
            "PULUMI_HOME": f"{self.folder}/home",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ENGINE_CLOUD": f"{self.folder}/cloud",
            **self.environ,
        }

    def run(self, *command: str, within: str = "infra", code: int | None = 0, text: str = "") -> str:
        """Run a command in a folder of the checkout, and return what it said; it is to end with a code, None for any."""
        done = subprocess.run(
            command,
            cwd=self.checkout / within,
            env=self.variables,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        )
        return done.stdout

    def typed(self, *lines: str, within: str = ".", code: int | None = 0) -> str:
        """Run lines as a person types them into one shell, who answers yes to whatever is asked."""
        shell = ("bash", "-eux", "-o", "pipefail", "-c", "\n".join(lines))
        return self.run("env", "PULUMI_SKIP_CONFIRMATIONS=true", *shell, within=within, code=code)

    def pulumi(self, *arguments: str, within: str = "infra", code: int | None = 0) -> str:
        """Run a command of Pulumi as a person types it."""
        return self.run("pulumi", *arguments, "--non-interactive", "--color", "never", within=within, code=code)

    def up(self, stack: str, *arguments: str, within: str = "infra", code: int | None = 0) -> str:
        """Bring a stack up."""
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", stack, *arguments, within=within, code=code)

    def preview(self, stack: str, *arguments: str, within: str = "infra") -> dict[str, Any]:
        """Return what an update would do, as the engine's JSON."""
        told = self.pulumi("preview", "--json", "--stack", stack, *arguments, within=within)
        return dict(json.loads(told[told.index("{") :]))

    def state(self, stack: str, within: str = "infra") -> list[dict[str, Any]]:
        """Return the resources of a stack's state."""
        exported = json.loads(self.pulumi("stack", "export", "--stack", stack, within=within))
        return list(exported["deployment"].get("resources", []))

    def things(self, stack: str, within: str = "infra") -> list[str]:
        """Return the URNs of a stack's things on AWS, GitHub or Kubernetes."""
        return sorted(one["urn"] for one in self.state(stack, within) if one["type"].startswith(REAL))

    def remains(self) -> list[str]:
        """Return the names of the files of what exists on AWS."""
        return sorted(one.name for one in self.cloud.glob("*")) if self.cloud.exists() else []


def steps(preview: dict[str, Any]) -> dict[str, set[str]]:
    """Return what a preview would do to which types, by operation; types without their package."""
    found: dict[str, set[str]] = {}
    for step in preview["steps"]:
        kind = (step.get("newState") or step["oldState"])["type"]
        if step["op"] != "same" and kind.startswith(REAL):
            found.setdefault(step["op"], set()).add(kind.rpartition(":")[2])
    return found


def counted(preview: dict[str, Any]) -> Counter[str]:
    """Return how many things a preview would do each operation to."""
    kinds = ((step["op"], (step.get("newState") or step["oldState"])["type"]) for step in preview["steps"])
    return Counter(op for op, kind in kinds if kind.startswith(REAL))
