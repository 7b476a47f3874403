import logging
from typing import NamedTuple

import pyarrow as pa
import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import StrictModel, UserError
from pipelines.orchestration.pipeline import Pipeline, RunInfo
from pipelines.orchestration.runner import Runner
from pipelines.orchestration.serialisation import decode, encode

log = logging.getLogger("pipelines.example")


class Params(StrictModel):
    start: int


class Number(StrictModel):
    value: int


class Parts(NamedTuple):
    table: pa.Table
    number: Number
    raw: bytes


CALLS: list[str] = []


def first(params: Params) -> Number:
    CALLS.append("first")
    log.info("made number=%d", params.start)
    return Number(value=params.start)


def second(number: Number, factor: int, run: RunInfo) -> Parts:
    CALLS.append("second")
    return Parts(pa.table({"n": [number.value * factor]}), number, run.run_id.encode())


def third(parts: Parts, number: Number) -> Number:
    CALLS.append("third")
    if number.value < 0:
        raise UserError("below zero")
    return Number(value=parts.table["n"][0].as_py() + number.value + len(parts.raw))


def tables() -> dict[str, pa.Table]:
    return {"a": pa.table({"x": [1]}), "b": pa.table({"x": ["y"]})}


PIPELINE = Pipeline("example", Params, number=first, parts=second, result=third)


@pytest.fixture
def runner(tmp_path):
    CALLS.clear()
    return Runner(FileObjects(tmp_path), {"factor": 10}.__getitem__)


def test_steps_are_wired_by_the_names_of_their_parameters(runner):
    run_id = runner.start(PIPELINE, Params(start=2), "r")
    assert runner.run(PIPELINE, run_id) == Number(value=2 * 10 + 2 + 1)
    assert CALLS == ["first", "second", "third"]


def test_a_run_that_is_done_is_not_done_again(runner):
    runner.start(PIPELINE, Params(start=2), "r")
    once, events = runner.run(PIPELINE, "r"), []
    assert runner.run(PIPELINE, "r", lambda step, event: events.append((step, event))) == once
    assert CALLS == ["first", "second", "third"]
    assert events == [("first", "resumed"), ("second", "resumed"), ("third", "resumed")]


def test_one_step_at_a_time_gives_the_same(runner):
    runner.start(PIPELINE, Params(start=2), "whole")
    runner.start(PIPELINE, Params(start=2), "steps")
    for step in PIPELINE.steps:
        runner.step(PIPELINE, step, "steps")
    whole = runner.run(PIPELINE, "whole")
    assert runner.output(PIPELINE, "third", "steps").value == whole.value  # the ids are of one length


def test_a_step_without_what_it_needs_says_what(runner):
    runner.start(PIPELINE, Params(start=2), "r")
    with pytest.raises(UserError, match="example/third needs second, first first"):
        runner.step(PIPELINE, "third", "r")


def test_a_step_made_from_other_inputs_is_made_again(runner):
    runner.start(PIPELINE, Params(start=2), "r")
    runner.run(PIPELINE, "r")
    runner.objects.write(
        "runs/r/run.json", runner.objects.read("runs/r/run.json").replace(b'"start": 2', b'"start": 3')
    )
    runner.step(PIPELINE, "first", "r")
    assert runner.run(PIPELINE, "r") == Number(value=3 * 10 + 3 + 1)
    assert CALLS == ["first", "second", "third", "first", "second", "third"]


def test_a_failure_is_recorded_with_its_log_and_the_run_goes_on_from_there(runner):
    runner.start(PIPELINE, Params(start=-1), "r")
    with pytest.raises(UserError, match="below zero"):
        runner.run(PIPELINE, "r")
    record = runner.record("r", "third")
    assert (record.status, record.error) == ("failed", "below zero")
    assert "UserError: below zero" in record.log[-1]
    with pytest.raises(UserError, match="below zero"):
        runner.run(PIPELINE, "r")
    assert CALLS == ["first", "second", "third", "third"]


def test_what_a_step_logs_is_kept_with_it(runner, caplog):
    caplog.set_level(logging.INFO, logger="pipelines")
    runner.start(PIPELINE, Params(start=2), "r")
    runner.run(PIPELINE, "r")
    assert runner.record("r", "first").log[0].endswith("made number=2")


def test_an_output_that_was_changed_is_not_believed(runner):
    runner.start(PIPELINE, Params(start=2), "r")
    runner.run(PIPELINE, "r")
    runner.objects.write("runs/r/second/raw.bin", b"x")
    with pytest.raises(UserError, match=r"runs/r/second/raw.bin is missing or was changed"):
        runner.output(PIPELINE, "second", "r")


def test_a_run_is_not_started_again_with_other_parameters(runner):
    runner.start(PIPELINE, Params(start=2), "r")
    assert runner.start(PIPELINE, Params(start=2), "r") == "r"
    with pytest.raises(UserError, match="was started with another start"):
        runner.start(PIPELINE, Params(start=3), "r")


def test_a_run_or_step_that_is_not_there_is_named(runner):
    with pytest.raises(UserError, match="there is no run 'gone'"):
        runner.run(PIPELINE, "gone")
    with pytest.raises(UserError, match="has no step 'secnd'; did you mean 'second'"):
        runner.step(PIPELINE, "secnd", "r")


def test_several_tables_come_back_by_name(runner):
    many = Pipeline("many", Params, tables=tables)
    runner.start(many, Params(start=1), "r")
    assert {name: table.to_pylist() for name, table in runner.run(many, "r").items()} == {
        "a": [{"x": 1}],
        "b": [{"x": "y"}],
    }


def test_a_step_that_returns_what_cannot_be_stored_is_reported(runner):
    def wrong() -> int:
        return 3

    pipeline = Pipeline("wrong", Params, number=wrong)
    runner.start(pipeline, Params(start=1), "r")
    with pytest.raises(TypeError, match="returned int"):
        runner.run(pipeline, "r")


def test_tables_are_stored_compressed():
    table = pa.table({"n": [0] * 10_000})
    (data,) = encode(table).values()
    assert len(data) < table.nbytes / 10
    assert decode({"output.arrow": data}, pa.Table).equals(table)
