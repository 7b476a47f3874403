"""The training frame and its parts: no label known too late, and no work done twice."""

from datetime import timedelta
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.bootstrap import pipeline
from pipelines.config import DataError, Problem, UserError
from pipelines.config.strict import parse_duration
from pipelines.feature.labels import known_labels
from pipelines.registry.scoring import Scorer
from pipelines.training import PARTS, TrainingParams
from pipelines.training.extract import training_frame
from pipelines.training.prepare import part, prepare
from tests.conftest import NOW

TRAINING = pipeline("training")


@pytest.fixture
def prepared(learned):
    """A training's frame and split."""
    return [learned.runner.output(TRAINING, step, "first") for step in ("extract", "prepare")]


def test_parts_have_only_labels_known_by_the_end_of_their_period(learned, prepared):
    frame, split = prepared
    config = learned.problem.config
    requests = learned.tables.read(f"raw.{config.request.table}").select([config.key, config.event_time])
    labels = known_labels(learned.problem, learned.tables, NOW)
    joined = requests.join(labels, config.key, "key", join_type="inner")
    bounds = [split.train_start, split.validation_start, split.test_start, split.end]
    expected, late = {}, 0
    for name, (start, end) in zip(PARTS, pairwise(bounds), strict=True):
        event = joined[config.event_time]
        inside = joined.filter(pc.and_(pc.greater_equal(event, start), pc.less(event, end)))
        known = inside.filter(pc.less_equal(inside["known_at"], end))
        expected[name], late = set(known[config.key].to_pylist()), late + inside.num_rows - known.num_rows
    assert late, "some labels are known too late for their period, or the test shows nothing"
    assert {name: set(part(frame, split, name)["key"].to_pylist()) for name in PARTS} == expected
    assert split.rows == {name: len(keys) for name, keys in expected.items()}


def test_a_split_of_another_frame_is_refused(prepared):
    frame, split = prepared
    with pytest.raises(AssertionError, match="the split is of this frame"):
        part(frame.slice(1), split, "train")


def test_parts_are_slices_that_copy_no_row(prepared):
    frame, split = prepared
    before = pa.total_allocated_bytes()
    parts = [part(frame, split, name) for name in PARTS]
    assert sum(one.num_rows for one in parts) == frame.num_rows
    assert pa.total_allocated_bytes() == before


def test_an_empty_frame_is_refused_with_what_to_do(learned, prepared):
    frame, _ = prepared
    params = TrainingParams(as_of=NOW, reason="test")
    with pytest.raises(UserError, match=r"the train period has 0 labelled rows.*no labelled requests in its periods"):
        prepare(params, learned.problem, frame.slice(0, 0))
    early = params.model_copy(update={"as_of": NOW - timedelta(days=300)})
    with pytest.raises(UserError, match="the train period has 0 labelled rows"):
        prepare(early, learned.problem, frame)


@pytest.mark.parametrize(
    ("length", "advice"),
    [
        ("6h", "Labels come 6h late, after this period of 6h has ended: lengthen training.validation"),
        ("7h", "Choose an as_of within, ingest more days, or shorten training.test and .validation"),
    ],
)
def test_a_period_within_the_delay_of_labels_is_to_be_longer(learned, prepared, length, advice):
    frame, split = prepared
    config, validation = learned.problem.config, parse_duration(length)
    training = config.training.model_copy(update={"validation": validation})
    problem = Problem(learned.problem.package, config.model_copy(update={"training": training}))
    time, start, end = frame["event_time"], split.test_start - validation, split.test_start
    without = frame.filter(pc.or_(pc.less(time, start), pc.greater_equal(time, end)))
    with pytest.raises(UserError, match="the validation period has 0 labelled rows") as error:
        prepare(TrainingParams(as_of=split.end, reason="test"), problem, without)
    assert str(error.value).endswith(advice)


def test_evaluating_judging_and_registering_load_the_candidate_once(learned, monkeypatch):
    loaded, real = [], Scorer.__init__

    def counted(self, *arguments, **settings):
        loaded.append(self)
        real(self, *arguments, **settings)

    monkeypatch.setattr(Scorer, "__init__", counted)
    for step in ("evaluate", "run_gates", "register"):
        learned.runner.step(TRAINING, step, "first")
    assert len(loaded) == 1


def test_a_feature_without_a_value_in_the_training_period_is_named(learned, prepared):
    frame, split = prepared
    gone = pa.nulls(frame.num_rows, pa.float32())
    for missing in (gone, pc.fill_null(gone, float("nan"))):
        broken = frame.set_column(frame.column_names.index("queue_now"), "queue_now", missing)
        with pytest.raises(DataError, match=r"has a value of queue_now \(view 'queue'\): run 'mlops run feature'"):
            prepare(TrainingParams(as_of=split.end, reason="test"), learned.problem, broken)


def test_a_view_without_rows_is_named(learned, monkeypatch):
    snapshot = learned.tables.snapshot
    monkeypatch.setattr(
        learned.tables, "snapshot", lambda name: None if name.startswith("features.queue_trend") else snapshot(name)
    )
    with pytest.raises(UserError, match="feature view 'queue_trend' has no rows"):
        training_frame(learned.problem, learned.tables, None, NOW)
