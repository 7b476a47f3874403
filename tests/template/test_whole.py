"""A project made with other answers passes its own checks and tests, and runs its demo."""

import os
import subprocess
import sys
import time

import pytest

from tests.template.conftest import OTHER, git

pytestmark = pytest.mark.slow


@pytest.fixture
def project(bake, repository):
    folder = bake(repository, **OTHER)
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "first"]):
        git(folder, *arguments)
    return folder


def make(project, *arguments):
    """Run make in a project, with nothing of this one's environment."""
    outside = ("COV_", "MAKE", "MFLAGS", "RATCHET_", "VIRTUAL_ENV", "PYTEST_", "UV_PROJECT_ENVIRONMENT")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    command = ["make", *arguments]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["deptry", "."],
        ["pytest", "-p", "no:cacheprovider", "-n", "0", "--no-cov", "tests/docs"],
    ],
    ids=" ".join,
)
def test_what_the_answers_can_break_is_whole(project, command):
    """The environment of the template serves here: the two need the same packages, and equal code has equal types."""
    environ = {**os.environ, "PYTHONPATH": str(project)}
    run = [sys.executable, "-m", *command]
    done = subprocess.run(run, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.bake
def test_it_passes_everything_in_an_environment_of_its_own(project):
    for target in (["check"], ["test"], ["demo", "ARGS=--fast"]):
        started = time.monotonic()
        shown = make(project, *target)
        sys.stdout.write(
            f"make {' '.join(target)}: {time.monotonic() - started:.0f} s, {shown.strip().splitlines()[-1]}\n"
        )
    assert (project / ".venv/bin/mlops").exists()
    assert (project / ".ratchet/demo/report.html").exists()
    assert git(project, "status", "--porcelain") == "", "what checks, tests and the demo make is ignored by git"
