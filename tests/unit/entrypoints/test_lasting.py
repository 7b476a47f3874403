"""State that a runner of GitHub's would throw away is refused by name."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

COMMANDS = [["drain"], ["rollback", "--reason", "x", "--yes"], ["github", "approve"], ["github", "follow"]]


def mlops(tmp_path, *command, **environ):
    told = {**os.environ, "RATCHET_HOME": str(tmp_path), "GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "a/b", **environ}
    run = [sys.executable, "-m", "pipelines.entrypoints.cli", *command]
    return subprocess.run(run, cwd=ROOT, env=told, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_runner_of_githubs_keeps_no_state(tmp_path, command):
    done = mlops(tmp_path, *command, RUNNER_ENVIRONMENT="github-hosted")
    assert done.returncode == 1
    assert "set the repository's variables RUNNER and RATCHET_HOME" in " ".join(done.stderr.split())


def test_a_runner_of_the_teams_own_does(tmp_path):
    done = mlops(tmp_path, "drain", RUNNER_ENVIRONMENT="self-hosted", RATCHET_PROBLEM="tests.problems.late")
    assert done.returncode == 0, done.stderr
    assert "nothing asks for a new model" in done.stdout
