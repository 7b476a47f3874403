"""mlops status asks the store for little, however much there is."""

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.alarms import Measurements
from pipelines.continuous_training import ContinuousTrainingParams, Decision, Triggers
from pipelines.continuous_training.decide import decide, keep
from pipelines.contracts import keys
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.look import _release, _status
from pipelines.entrypoints.drain import drain
from pipelines.entrypoints.watch.metrics import WatchedStores
from pipelines.monitor import MonitorReport, Trigger
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from tests.conftest import PROBLEMS, make_platform
from tests.unit.deployment.test_releases import log, models, released  # noqa: F401
from tests.unit.registry.test_release_log import Counting

RUNS, RELEASES, VERSIONS, DECISIONS = 10_000, 334, 1_000, 1_000
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
REPORT = MonitorReport(measured=Measurements(as_of=FIRST, model="m", version=1), alarms=())


def stored(platform, models):  # noqa: F811
    """Return a store of so many runs, versions, decisions and releases, each of which has three transitions."""
    objects = Counting({key: models._objects.read(key) for key in models._objects.keys("")})
    kept, manifest = ModelStore(objects), models.manifest(models.version(1))
    files = {name: models.file(models.version(1), name) for name in manifest.files}
    for number in range(len(models.versions()), VERSIONS):
        kept.put(manifest.model_copy(update={"reason": f"model {number}"}), files)
    for number in range(DECISIONS):
        at, run = (
            FIRST + timedelta(hours=number),
            RunInfo(run_id=f"ct-{number}", pipeline="ct", created=FIRST.isoformat()),
        )
        decided = Decision(at=at, train=not number % 10, automatic=True, reason="r", triggers=(), run_id=run.run_id)
        keep(objects, "dev", run, decided.model_copy(update={"model": "m" * 64 if decided.train else None}))
        objects.write(keys.monitor_report("dev", at), REPORT.to_json())
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
    return objects


_STORED: dict = {}  # made once, for it takes seconds


@pytest.fixture
def large(tmp_path_factory, models):  # noqa: F811
    """A platform, opened by a process that has read nothing yet, whose store holds much."""
    if not _STORED:
        home = tmp_path_factory.mktemp("home")
        _STORED.update(home=home, objects=stored(make_platform(home, PROBLEMS[0]), models))
    objects = _STORED["objects"]
    assert len(objects._objects) > 4 * RUNS + 3 * RELEASES + 3 * VERSIONS + 2 * DECISIONS
    platform = make_platform(_STORED["home"], PROBLEMS[0])
    platform.__dict__["objects"] = objects
    objects.asked.clear()
    objects.reads.clear()
    return platform


def test_status_reads_at_most_thirty_objects_however_many_there_are(large):
    content, reads, asked = _status(large), large.objects.reads, large.objects.asked
    sys.stdout.write(f"{len(reads)} reads, {len(asked) - len(reads)} listings\n")
    assert [run["run_id"] for run in content["runs"]] == [f"feature-{RUNS - left}" for left in range(5, 0, -1)]
    assert [one["version"] for one in content["versions"]] == [*range(VERSIONS - 4, VERSIONS + 1)]
    assert content["decisions"][-1]["run_id"] == f"ct-{DECISIONS - 1}"
    assert content["release"]["champion"]["version"] == (RELEASES - 1) % 2 + 1
    assert len(reads) <= 30, reads
    assert len(asked) <= 45, asked


def test_a_look_at_the_queue_reads_little(large):
    assert drain(large, FIRST + timedelta(days=60), None).says == "nothing asks for a new model"
    assert len(large.objects.asked) <= 5, large.objects.asked


def test_a_decision_reads_no_more_than_its_limits_look_back(large):
    params = ContinuousTrainingParams(as_of=FIRST + timedelta(hours=DECISIONS))
    trigger = Trigger(kind="alarm", reason="drift", at=params.as_of)
    run = RunInfo(run_id="ct", pipeline="ct", created=FIRST.isoformat())
    triggers = Triggers(triggers=(trigger,), receipts=())
    decided = decide(params, run, large.problem, large.objects, large.releases, triggers)
    assert not decided.train, "the cooldown holds"
    assert len(large.objects.asked) <= 5, large.objects.asked


def test_a_scrape_of_the_watch_reads_little(large):
    WatchedStores(large.objects, large.events, "dev", lambda: FIRST).read()
    assert len(large.objects.asked) <= 30, large.objects.asked


def test_a_model_is_found_with_few_reads(large):
    digest, _ = large.models.resolve(f"v{VERSIONS // 2}")
    assert large.models.resolve(digest[:12]) == (digest, VERSIONS // 2)
    assert len(large.objects.asked) <= 3, large.objects.asked


def test_status_tells_that_a_snapshot_of_the_release_log_does_not_verify(tmp_path):
    platform = make_platform(tmp_path / "home", PROBLEMS[0])
    assert _status(platform)["release_log_fault"] is None
    platform.objects.write(keys.release_snapshot("dev"), b"{}")
    opened = make_platform(tmp_path / "home", PROBLEMS[0])
    content = _status(opened)
    assert "dev.snapshot.json is no snapshot" in content["release_log_fault"]
    assert any("the whole log was read and verified instead" in told for _, told in _release(opened, content))
