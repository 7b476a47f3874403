"""Step 19: split the frame by time, and check that each part is large enough."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Problem, Task, UserError
from pipelines.storage.tables import TIMESTAMP
from pipelines.training import Split, TrainingParams


def prepare(params: TrainingParams, problem: Problem, frame: pa.Table) -> Split:
    """Return the split of the frame into training, validation and test periods.

    Raises:
        UserError: when a part is too small to learn from or to judge with.
    """
    training = problem.config.training
    test_start = params.as_of - training.test
    split = Split(
        train_start=pc.min(frame["event_time"]).as_py() or test_start,
        validation_start=test_start - training.validation,
        test_start=test_start,
        end=params.as_of,
        rows={},
    )
    rows = {name: part(frame, split, name) for name in ("train", "validation", "test")}
    for name, labelled in rows.items():
        labels = pc.count_distinct(labelled["label"]).as_py()
        if labels < (2 if problem.config.task is Task.BINARY else 1):
            raise UserError(
                f"the {name} period has {labelled.num_rows} labelled rows with {labels} different labels: too few as "
                f"of {params.as_of:%Y-%m-%d}; {_known(frame)}. Choose an as_of within, ingest more days, or shorten "
                "training.test and .validation"
            )
    return split.model_copy(update={"rows": {name: labelled.num_rows for name, labelled in rows.items()}})


def _known(frame: pa.Table) -> str:
    if not frame.num_rows:
        return "there are no labelled requests in its periods"
    first, last = (bound.as_py() for bound in pc.min_max(frame["event_time"]).values())
    return f"there are labelled requests from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def part(frame: pa.Table, split: Split, name: str) -> pa.Table:
    """Return the rows of a period whose labels were known by its end."""
    starts = [split.train_start, split.validation_start, split.test_start, split.end]
    start, end = starts[(number := ("train", "validation", "test").index(name))], starts[number + 1]
    event, known = frame["event_time"], frame["known_at"]
    inside = pc.and_(pc.greater_equal(event, _scalar(start)), pc.less(event, _scalar(end)))
    return frame.filter(pc.and_(inside, pc.less_equal(known, _scalar(end))))


def _scalar(time: datetime) -> pa.Scalar:
    return pa.scalar(time, TIMESTAMP)
