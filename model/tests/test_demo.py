"""The demo on the real flights, shortened: what `make demo -- --fast` shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights") / "demo"
    command = [sys.executable, "-m", "pipelines.entrypoints.cli", "demo", "--fast", "--folder", str(folder)]
    # The engine's own demo measures what is covered, for which this one would take a third longer.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_the_world_changes_and_the_model_after_it(story):
    for told in (
        "v1 passed the gates: gradient boosting",
        "v2 was refused by the gates: baseline",
        "alarm performance.bias",
        "v3 was refused by the gates",
        "v4 passed the gates: gradient boosting",
        "promoted v4",
        "rolled back v5 to v4: it failed",
    ):
        assert told in story, told


def test_no_request_fails_while_a_release_does(story):
    requests, failed = re.search(r"([\d,]+) HTTP requests, (\d+) failed", story).groups()
    assert int(requests.replace(",", "")) > 700
    assert failed == "0"


def test_the_retrained_model_is_better_by_more_than_chance(story):
    new, old = map(
        float,
        re.search(
            r"v4 passed the gates: gradient boosting, log_loss ([\d.]+) where the champion has ([\d.]+)", story
        ).groups(),
    )
    assert new < old - 0.003
