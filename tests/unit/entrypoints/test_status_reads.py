"""mlops status asks the store for little, however much there is."""

import json
import sys
from datetime import UTC, datetime, timedelta

from pipelines.contracts import keys
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.look import _release, _status
from pipelines.registry.release_log import ReleaseLog
from tests.conftest import PROBLEMS, make_platform
from tests.unit.deployment.test_releases import log, models, released  # noqa: F401
from tests.unit.registry.test_release_log import Counting

RUNS, RELEASES = 10_000, 1_000
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def stored(platform, models):  # noqa: F811
    """Return a store of so many runs, decisions and releases."""
    objects = Counting()
    steps = ("extract", "validate", "ingest", "engineer", "materialise")
    for number in range(RUNS):
        at, run_id = FIRST + timedelta(minutes=number), f"feature-{number}"
        for key in keys.run_index(at, "feature", run_id):
            objects.write(key, b"{}")
        document = {"pipeline": "feature", "params": {}, "steps": steps, "created": at.isoformat()}
        objects.write(keys.run_document(run_id), json.dumps(document).encode())
        for step in steps:
            objects.write(keys.step_outcome(run_id, at, step, "succeeded"), b"")
    written = ReleaseLog(objects, platform.signer, "dev")
    for number in range(RELEASES):
        released(written, models, number % 2 + 1)
    for key in models._objects.keys(""):
        objects.write(key, models._objects.read(key))
    return objects


def test_status_reads_at_most_thirty_objects_of_ten_thousand_runs(tmp_path, models, capsys):  # noqa: F811
    platform = make_platform(tmp_path / "home", PROBLEMS[0])
    objects = stored(platform, models)
    assert len(list(objects._objects)) > 4 * RUNS + 3 * RELEASES
    opened = make_platform(tmp_path / "home", PROBLEMS[0])
    opened.__dict__["objects"] = objects
    objects.asked.clear()
    content = _status(opened)
    sys.stdout.write(f"{len(objects.asked)} reads and listings at {RUNS:,} runs and {RELEASES:,} releases\n")
    assert [run["run_id"] for run in content["runs"]] == [f"feature-{RUNS - left}" for left in range(5, 0, -1)]
    assert content["release"]["champion"]["version"] == (RELEASES - 1) % 2 + 1
    assert len(objects.asked) <= 30, objects.asked


def test_status_tells_that_a_snapshot_of_the_release_log_does_not_verify(tmp_path):
    platform = make_platform(tmp_path / "home", PROBLEMS[0])
    assert _status(platform)["release_log_fault"] is None
    platform.objects.write(keys.release_snapshot("dev"), b"{}")
    opened = make_platform(tmp_path / "home", PROBLEMS[0])
    content = _status(opened)
    assert "dev.snapshot.json is no snapshot" in content["release_log_fault"]
    assert any("the whole log was read and verified instead" in told for _, told in _release(opened, content))
