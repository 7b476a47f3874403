"""kill -9 after any write of a pipeline and of a tick: the resumed run ends as if nothing had happened.

After some of the writes in each run of the tests; after every single one in ``make test-slow``.
"""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, unmeasured

MOVES = {"deployment": ["promote"], "tick, which passes": ["advance"], "tick, which fails": ["roll back"]}


POINTS = {
    "feature": 12,
    "continuous_training": 30,  # with the training that it starts
    "deployment": 14,  # half-way through each write, too
    "tick, which passes": 2,
    "tick, which fails": 2,
}


SOME = {"feature": 7, "continuous_training": 11, "deployment": 7, "tick, which fails": 1}


@pytest.mark.parametrize(
    ("pipeline", "step"),
    [
        *(pytest.param(name, step, id=f"{name}, some") for name, step in SOME.items()),
        *(pytest.param(name, 1, id=f"{name}, every", marks=pytest.mark.slow) for name in POINTS),
    ],
)
def test_a_run_killed_at_any_boundary_resumes_and_ends_the_same(tmp_path, mlflow_database, pipeline, step):
    command = [sys.executable, "-m", "tests.e2e.killing", pipeline, str(tmp_path), str(mlflow_database), str(step)]
    done = subprocess.run(command, cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = map(json.loads, done.stdout.splitlines())
    assert not whole["killed"]
    assert whole["result"]["transitions"][-1:] == MOVES.get(pipeline, [])
    assert sum(one["killed"] for one in killed) >= POINTS[pipeline] // step
    for one in killed:
        assert one["result"] == whole["result"], f"killed after write {one['point']}"
