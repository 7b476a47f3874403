"""The command line as people and workflows use it: a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import PROBLEMS, ROOT


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Mlops:
    """``mlops`` with a home of its own."""

    def __init__(self, home: Path, problem: str = PROBLEMS[0]) -> None:
        self.home = home
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RATCHET_", "COV_"))},
            "RATCHET_HOME": str(home),
            "RATCHET_RELEASES": str(home / "releases"),
            "RATCHET_PROBLEM": problem,
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str) -> Done:
        command = [sys.executable, "-m", "pipelines.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipelines.cli", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture
def mlops(tmp_path: Path) -> Mlops:
    return Mlops(tmp_path / "home")
