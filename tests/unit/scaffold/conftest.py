"""A sample of orders, and what writes a problem from it."""

import numpy as np
import pandas as pd
import pytest

from pipelines.scaffold.interview import Asker, interview, read_with_answers
from pipelines.scaffold.plan import check_size
from pipelines.scaffold.profile import profile
from pipelines.scaffold.sample import Reading
from pipelines.scaffold.write import write

ROWS = 1000
FLAGS = {"owner": "a@example.com", "label": "late", "label_delay": "6h", "false_alarm": "1", "miss": "4"}


def orders() -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": [f"r{n}" for n in range(ROWS)],
            "placed": pd.date_range("2024-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "shop": random.choice(["a", "b", "c"], ROWS),
            "price": random.gamma(2.0, 5.0, ROWS).round(2),
            "late": (random.random(ROWS) < 0.3).astype(int),
        }
    )


@pytest.fixture
def make(tmp_path):
    """Write a problem from a frame, or a file, with flags; returns its folder."""

    def new(frame=None, folder="made", replace=None, file="sample.csv", zone="UTC", time_format=None, **flags):
        path = tmp_path / file
        if isinstance(frame, bytes):
            path.write_bytes(frame)
        else:
            (orders() if frame is None else frame).to_csv(path, index=False)
        ask = Asker({**FLAGS, **flags}, None)
        sample, _ = read_with_answers(path, Reading(zone, time_format), ask)
        check_size(sample.rows.num_rows)
        answers = interview(path, sample, profile(sample), ask, zone)
        write(sample, answers, tmp_path / folder, replace)
        return tmp_path / folder

    return new
