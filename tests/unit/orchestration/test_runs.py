"""The store of runs: an index of the latest, summaries, and what a killed process leaves."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.contracts import keys
from pipelines.orchestration.pipeline import StepRecord
from pipelines.orchestration.runs import RunStore
from tests.releasing import MemoryObjects

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = ("pin", "train")


def record(step, status="succeeded", error=None):
    return StepRecord(step=step, status=status, started=NOW, ended=NOW, inputs={}, outputs={}, error=error)


@pytest.fixture
def objects():
    return MemoryObjects()


@pytest.fixture
def runs(objects):
    return RunStore(objects)


def test_the_latest_runs_come_first_and_by_pipeline(runs, monkeypatch):
    moments = iter(NOW + timedelta(seconds=number) for number in range(6))
    monkeypatch.setattr("pipelines.orchestration.runs.datetime", Clock(moments))
    for number in range(6):
        assert runs.create(f"run{number}", ("feature", "training")[number % 2], {}, STEPS)
    assert [run.run_id for run in runs.latest(3)] == ["run5", "run4", "run3"]
    assert [run.run_id for run in runs.latest(2, "feature")] == ["run4", "run2"]
    assert list(runs.latest(2, "batch")) == []


def test_a_run_is_created_once(runs):
    assert runs.create("run", "feature", {"a": 1}, STEPS)
    assert not runs.create("run", "feature", {"a": 2}, STEPS)
    assert runs.document("run")["params"] == {"a": 1}
    assert len(list(runs.latest(5))) == 1


def test_a_process_killed_before_the_document_leaves_nothing_to_list(objects, runs):
    for key in keys.run_index(NOW, "feature", "run"):
        objects.write(key, b"{}")
    assert list(runs.latest(5)) == []
    assert runs.create("run", "feature", {}, STEPS)
    assert [run.run_id for run in runs.latest(5)] == ["run"]


def test_entries_of_killed_processes_hide_no_run_behind_them(objects, runs):
    runs.create("failed", "training", {}, ("pin",))
    runs.record("failed", record("pin", "failed", "no memory"))
    later = datetime.now(UTC) + timedelta(minutes=1)
    for number in range(3):
        for key in keys.run_index(later + timedelta(seconds=number), "training", f"killed{number}"):
            objects.write(key, b"{}")
    (found,) = runs.latest(1, "training")
    assert (found.run_id, found.failed) == ("failed", "pin: no memory")
    assert [run.run_id for run in runs.latest(5)] == ["failed"]


def test_a_summary_follows_the_records(runs):
    runs.create("run", "training", {}, STEPS)
    assert (runs.summary("run").steps, runs.summary("run").done) == (STEPS, ())
    runs.record("run", record("pin"))
    assert runs.summary("run").steps == STEPS
    runs.record("run", record("train", "failed", "no memory"))
    assert (runs.summary("run").done, runs.summary("run").failed) == (("pin",), "train: no memory")
    runs.record("run", record("train"))
    assert (runs.summary("run").done, runs.summary("run").failed) == (("pin", "train"), None)
    assert runs.summary("other") is None


def test_a_stale_summary_is_mended_by_the_record_of_the_step(objects, runs):
    runs.create("run", "training", {}, STEPS)
    objects.write(keys.step_record("run", "pin"), record("pin").to_json())
    assert runs.summary("run").done == ()
    runs.summarise("run", record("pin"))
    assert runs.summary("run").done == ("pin",)


class Clock:
    """A datetime whose now is what the test says."""

    def __init__(self, moments):
        self._moments = moments

    def now(self, _zone):
        return next(self._moments)

    fromisoformat = datetime.fromisoformat
