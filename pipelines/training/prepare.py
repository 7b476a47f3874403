"""Step 19: split the frame by time, and check that each part is large enough."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import DataError, Problem, Task, UserError, format_duration
from pipelines.storage.tables import TIMESTAMP
from pipelines.training import PARTS, Split, TrainingParams


def period_starts(params: TrainingParams, problem: Problem) -> dict[str, datetime]:
    """Return when the periods of validation and test start, and when the last one ends."""
    training, end = problem.config.training, params.as_of
    return {"validation": end - training.test - training.validation, "test": end - training.test, "end": end}


def prepare(params: TrainingParams, problem: Problem, frame: pa.Table) -> Split:
    """Return where the frame of :func:`pipelines.training.extract.extract` is split into its parts.

    Raises:
        UserError: when a part is too small to learn from or to judge with.
    """
    starts, times = period_starts(params, problem), frame["event_time"].cast(pa.int64()).to_numpy()
    bounds = np.searchsorted(times, [_micros(starts["validation"]), _micros(starts["test"])])
    split = Split(
        train_start=frame["event_time"][0].as_py() if len(times) else starts["test"],
        validation_start=starts["validation"],
        test_start=starts["test"],
        end=starts["end"],
        rows=dict(zip(PARTS, np.diff([0, *bounds, len(times)]).tolist(), strict=True)),
    )
    for name, rows in split.rows.items():
        labels = pc.count_distinct(part(frame, split, name)["label"]).as_py()
        if labels < (2 if problem.config.task is Task.BINARY else 1):
            raise UserError(
                f"the {name} period has {rows} labelled rows with {labels} different labels: too few as "
                f"of {params.as_of:%Y-%m-%d}; {_known(frame)}. {_advice(problem, name)}"
            )
    _require_values(problem, part(frame, split, "train"))
    return split


def _require_values(problem: Problem, train: pa.Table) -> None:
    """Raise for a feature that the training period never has: a model cannot learn what it does.

    Raises:
        DataError: naming each such feature and the view that it is of.
    """
    views = {name: f"view {view.name!r}" for view in problem.views for name in view.features}
    lacking = [name for name in problem.features if not _has_value(train[name])]
    if lacking:
        told = ", ".join(f"{name} ({views.get(name, 'of the request')})" for name in lacking)
        raise DataError(
            f"no row of the training period has a value of {told}: run 'mlops run feature' for the days before, give "
            "it a default in [serving.views], or take it out of features.py"
        )


def _has_value(values: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(values.type):
        return bool(pc.any(pc.is_finite(values)).as_py())
    return bool(pc.any(pc.not_equal(values.cast(pa.string()), "")).as_py())


def part(frame: pa.Table, split: Split, name: str) -> pa.Table:
    """Return the rows of a period, as a slice of the frame."""
    assert frame.num_rows == sum(split.rows.values()), "the split is of this frame"
    before = PARTS[: PARTS.index(name)]
    return frame.slice(sum(split.rows[one] for one in before), split.rows[name])


def _advice(problem: Problem, name: str) -> str:
    """Return what to do: a period that ends before its labels are known is to be longer, others may be shorter."""
    delay, lengths = problem.config.label.delay, problem.config.training
    length = {"validation": lengths.validation, "test": lengths.test}.get(name)
    if length is not None and length <= delay:
        return (
            f"Labels come {format_duration(delay)} late, after this period of {format_duration(length)} has ended: "
            f"lengthen training.{name}"
        )
    return "Choose an as_of within, ingest more days, or shorten training.test and .validation"


def _known(frame: pa.Table) -> str:
    if not frame.num_rows:
        return "there are no labelled requests in its periods"
    first, last = (bound.as_py() for bound in pc.min_max(frame["event_time"]).values())
    return f"there are labelled requests from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _micros(time: datetime) -> int:
    return int(pa.scalar(time, TIMESTAMP).value)
