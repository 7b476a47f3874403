"""Labels that are none, and those that no model can learn: told with the key of an example."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pyarrow as pa
import pytest

from pipelines.config import DataError, Problem, Task
from pipelines.feature.knowledge import since_they_happened
from pipelines.feature.labels import known_labels
from pipelines.scaffold.check import _label
from tests.conftest import PROBLEMS

START = datetime(2024, 1, 1, tzinfo=UTC)


class Rows:
    """Stands for the tables: the label's rows as they are."""

    def __init__(self, minutes):
        count = len(minutes)
        self._rows = pa.table(
            {
                "parcel_id": [f"p{n}" for n in range(count)],
                "delivered_at": pa.array([START] * count, pa.timestamp("us", "UTC")),
                "minutes": minutes,
            }
        )

    def read(self, *_, versions=False, **__):
        return since_they_happened(self._rows) if versions else self._rows


def problem(sql, task=Task.BINARY):
    loaded = Problem.load(PROBLEMS[0])
    label = loaded.config.label.model_copy(update={"sql": sql})
    return replace(loaded, config=loaded.config.model_copy(update={"label": label, "task": task}))


def labels(sql, minutes, task=Task.BINARY):
    found = known_labels(problem(sql, task), Rows(minutes), START + timedelta(days=1))
    return dict(zip(found["key"].to_pylist(), found["label"].to_pylist(), strict=True))


@pytest.mark.parametrize("sql", ["minutes > 60", "CAST(minutes > 60 AS INTEGER)"])
def test_a_missing_value_is_no_label_and_a_boolean_one_is(sql):
    assert labels(sql, [61.0, None, 59.0]) == {"p0": 1.0, "p2": 0.0}


def test_a_label_that_is_nan_is_none():
    assert labels("minutes", [nan, 2.5], Task.REGRESSION) == {"p1": 2.5}


@pytest.mark.parametrize(
    ("sql", "minutes", "task", "message"),
    [
        ("minutes", [0.0, 1.0, 2.0], Task.BINARY, "is 0 or 1, false or true; label.sql, 'minutes', gives 2 for parcel_id 'p2' of table deliveries"),
        ("minutes / 0", [1.0], Task.REGRESSION, "a label is finite; label.sql, 'minutes / 0', gives inf for parcel_id 'p0'"),
        ("minutes", [inf], Task.REGRESSION, "gives inf for parcel_id 'p0'"),
        ("CASE WHEN minutes > 1 THEN 'late' END", [2.0], Task.BINARY, "label.sql fails on table deliveries: Conversion Error"),
    ],
)  # fmt: skip
def test_a_label_that_no_model_learns_is_refused(sql, minutes, task, message):
    with pytest.raises(DataError) as error:
        labels(sql, minutes, task)
    assert message in str(error.value)


def test_a_text_as_label_is_refused_before_there_are_rows():
    (told,) = _label(problem("parcel_id"))
    assert "is text; compare it with what is the event" in told
    assert not list(_label(problem("parcel_id = 'p1'")))
