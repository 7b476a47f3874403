"""The store of runs: an index of the latest, summaries, and what a killed process leaves."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.contracts import keys
from pipelines.orchestration.pipeline import StepRecord
from pipelines.orchestration.runs import RunStore
from tests.releasing import MemoryObjects

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = ("pin", "train")


def record(step, status="succeeded", error=None, later=0):
    ended = NOW + timedelta(seconds=later)
    return StepRecord(step=step, status=status, started=NOW, ended=ended, inputs={}, outputs={}, error=error)


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
    runs.record("run", record("train", "failed", "no memory", later=1))
    assert (runs.summary("run").done, runs.summary("run").failed) == (("pin",), "train: no memory")
    runs.record("run", record("train", later=2))
    assert (runs.summary("run").done, runs.summary("run").failed) == (("pin", "train"), None)
    assert runs.summary("other") is None


def test_an_outcome_that_was_not_told_is_told_when_the_run_goes_on(objects, runs):
    runs.create("run", "training", {}, STEPS)
    objects.write(keys.step_record("run", "pin"), record("pin").to_json())
    assert runs.summary("run").done == ()
    for _ in range(2):
        runs.tell_outcome("run", record("pin"))
        assert runs.summary("run").done == ("pin",)


def test_a_failed_step_is_told_whatever_ends_after_it(runs):
    runs.create("run", "training", {}, STEPS)
    runs.record("run", record("pin", "failed", "no rows"))
    runs.record("run", record("train", later=1))
    assert (runs.summary("run").done, runs.summary("run").failed) == (("train",), "pin: no rows")


STEPS_AT_ONCE = tuple(f"step{number}" for number in range(8))
PROCESSES = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.adapters.local.objects import FileObjects
from pipelines.orchestration.pipeline import StepRecord
from pipelines.orchestration.runs import RunStore
from pipelines.contracts import keys

class Killed(FileObjects):
    def write(self, key, data):
        super().write(key, data)
        if key == keys.step_record("run", sys.argv[2]):
            os.kill(os.getpid(), 9)

now = datetime.now(UTC)
for step in sys.argv[3].split(","):
    if os.fork() == 0:
        os.read(0, 1)  # until it is closed, which all see at once
        given = StepRecord(step=step, status="succeeded", started=now, ended=now, inputs={}, outputs={}, error=None)
        RunStore(Killed(Path(sys.argv[1]))).record("run", given)
        os._exit(0)
print(flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def at_once(folder, killed=""):
    """Record all steps in processes of their own at once; the one of a step is killed after its record."""
    command = [sys.executable, "-c", PROCESSES, str(folder), killed, ",".join(STEPS_AT_ONCE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        started.stdout.readline()
        started.stdin.close()
        assert started.wait(60) == 0


def test_steps_that_end_at_once_lose_no_outcome(tmp_path):
    runs = RunStore(FileObjects(tmp_path))
    runs.create("run", "training", {}, STEPS_AT_ONCE)
    at_once(tmp_path)
    assert sorted(runs.summary("run").done) == sorted(STEPS_AT_ONCE)


def test_a_process_killed_at_an_outcome_takes_no_other_with_it(tmp_path):
    runs = RunStore(FileObjects(tmp_path))
    runs.create("run", "training", {}, STEPS_AT_ONCE)
    at_once(tmp_path, killed="step3")
    assert set(runs.summary("run").done) == {*STEPS_AT_ONCE} - {"step3"}
    for one in runs.step_records("run"):  # as a run does that goes on
        runs.tell_outcome("run", one)
    assert set(runs.summary("run").done) == {*STEPS_AT_ONCE}


class Clock:
    """A datetime whose now is what the test says."""

    def __init__(self, moments):
        self._moments = moments

    def now(self, _zone):
        return next(self._moments)

    fromisoformat = datetime.fromisoformat
