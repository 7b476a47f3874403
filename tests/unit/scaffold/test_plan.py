"""What is derived from a sample: the day on which ``problem check`` can try what was written."""

from datetime import date

import pandas as pd
import pytest

from pipelines.scaffold.answers import labels
from pipelines.scaffold.interview import Asker, interview, read_with_answers
from pipelines.scaffold.plan import plan
from pipelines.scaffold.profile import profile
from pipelines.scaffold.sample import Reading
from pipelines.scaffold.tables import split
from tests.unit.scaffold.conftest import FLAGS, ROWS, orders


@pytest.mark.parametrize(
    ("columns", "flags", "expected"),
    [
        ({}, {}, date(2024, 1, 1)),
        ({"day": "x", "late": [int(row == 500) for row in range(ROWS)]}, {}, date(2024, 1, 21)),
        ({"placed": pd.date_range("2020-01-01", periods=ROWS).strftime("%Y-%m-%d")}, {"label_delay": "1d"}, None),
    ],
    ids=["every day", "one day with an event", "a request a day"],
)
def test_the_suggested_day_has_enough_labels_to_fit_on(tmp_path, columns, flags, expected):
    orders().assign(**columns).to_csv(tmp_path / "sample.csv", index=False)
    ask = Asker(FLAGS | flags, None)
    sample, _ = read_with_answers(tmp_path / "sample.csv", Reading(), ask)
    answers = interview(tmp_path / "sample.csv", sample, profile(sample), ask)
    assert plan(answers, split(sample, answers), labels(sample, answers.label)).busiest == expected
