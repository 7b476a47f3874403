"""A copy of the project in which ``model/`` may be replaced, and its command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.e2e.conftest import Done, Mlops


def copy_project(root: Path) -> None:
    """Copy the tracked files of the project into a folder, without those of the template alone."""
    template = ROOT / "cookiecutter.json"
    only = tuple(json.loads(template.read_text())["_template_only"]) if template.exists() else ()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith(only):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)


class Copied(Mlops):
    """``mlops`` of a copy of the project, on whatever problem is in its ``model/``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / ".ratchet", "model")
        self.root = root
        self.environ |= {"PYTHONPATH": str(root), "MYPY_CACHE_DIR": str(root / ".mypy_cache")}
        self.environ |= {"RUFF_CACHE_DIR": str(root / ".ruff_cache")}

    def __call__(self, *arguments: str) -> Done:
        return self.python("-m", "pipelines.entrypoints.cli", *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipelines.entrypoints.cli", *arguments]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.root, env=self.environ, text=True, **piped)

    def python(self, *arguments: str) -> Done:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.environ, capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def make(self, *arguments: str) -> Done:
        """Run a target of the Makefile, in the environment of the project that was copied."""
        outside = ("COV_", "COVERAGE_", "MAKE", "MFLAGS", "PYTEST_", "RATCHET_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
        environ |= {"PYTHONPATH": str(self.root), "UV_PROJECT_ENVIRONMENT": sys.prefix}
        command = ["make", "-o", ".venv/.synced", "-o", ".venv/.synced-all", *arguments]
        done = subprocess.run(command, cwd=self.root, env=environ, capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)
