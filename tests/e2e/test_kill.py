"""kill -9 after every single write of a pipeline and of a tick: the resumed run ends as if nothing had happened."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MOVES = {"deployment": ["promote"], "tick, which passes": ["advance"], "tick, which fails": ["roll back"]}


@pytest.mark.parametrize(
    ("pipeline", "least_points"),
    [
        ("feature", 12),
        ("continuous_training", 30),  # with the training that it starts
        ("deployment", 14),  # half-way through each write, too
        ("tick, which passes", 2),
        ("tick, which fails", 2),
    ],
)
def test_a_run_killed_at_any_boundary_resumes_and_ends_the_same(tmp_path, mlflow_database, pipeline, least_points):
    command = [sys.executable, "-m", "tests.e2e.killing", pipeline, str(tmp_path), str(mlflow_database)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = map(json.loads, done.stdout.splitlines())
    assert not whole["killed"]
    assert whole["result"]["transitions"][-1:] == MOVES.get(pipeline, [])
    assert sum(one["killed"] for one in killed) >= least_points
    for one in killed:
        assert one["result"] == whole["result"], f"killed after write {one['point']}"
