"""Eleven awkward samples, each through ``mlops problem new``: what it says of them, and that what it wrote runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Done, Mlops

pytestmark = pytest.mark.slow

ROWS = 900
FLAGS = {"--label": "late", "--label-delay": "6h", "--false-alarm": "1", "--miss": "3", "--owner": "a@example.com"}
NUMBER = {"--over": "1", "--under": "2", "--false-alarm": None, "--miss": None}


def _frame(start: str = "2024-01-01", **columns: object) -> pd.DataFrame:
    random, n = np.random.default_rng(3), np.arange(ROWS)
    price = random.gamma(2.0, 5.0, ROWS).round(2)
    frame = pd.DataFrame(
        {
            "id": [f"r{number}" for number in n],
            "placed": pd.date_range(start, periods=ROWS, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "shop": random.choice(["a", "b", "c"], ROWS),
            "price": price,
            "late": (price + random.normal(0, 3, ROWS) > 10).astype(int),
        }
    )
    return frame.assign(**columns)


N = np.arange(ROWS)
HOURS = pd.date_range("2024-10-20", periods=ROWS, freq="h")
BERLIN = pd.date_range("2024-10-10", periods=ROWS, freq="h", tz="Europe/Berlin").tz_localize(None)
WITH_NAN = _frame(price=np.where(N % 5 == 0, np.nan, _frame()["price"])).assign(placed=HOURS.tz_localize("UTC"))

SAMPLES = {
    "text NA": (_frame(shop=np.array(["NA", "None", "null"])[N % 3]), {}, ["is kept as a text"]),
    "zip codes": (_frame(shop=np.array(["01", "1", "00501"])[N % 3]), {}, ["leading zeros, such as 01, are kept"]),
    "huge integers": (_frame(id=[str(2**64 + int(n)) for n in N]), {}, ["has more digits than a number holds"]),
    "passes of an hour": (
        _frame(placed=BERLIN.strftime("%Y-%m-%d %H:%M")),
        {"--timezone": "Europe/Berlin", "--read": "placed=earlier"},
        ["2024-10-27 02:00, occur twice or never", "read as the moment before the change"],
    ),
    "written numbers": (
        _frame(
            fare=[f"{n + 500.5:,.2f}" for n in N],
            comma=[f"{n % 90},93" for n in N],
            share=[f"{n % 100}%" for n in N],
            paid=[f"${n % 40}.50" for n in N],
        ),
        {},
        ["'0,93' is read as 0.93", "'0%' is read as 0.0", "'$0.50' is read as 0.5", "--read fare=text keeps it"],
    ),
    "boolean label": (_frame(late=_frame()["late"].astype(bool)), {"--entities": "shop"}, ["boolean"]),
    "no entities": (_frame(), {"--entities": "none"}, []),
    "time as key": (_frame().drop(columns="id"), {"--key": "placed"}, []),
    "time in two columns": (
        _frame(day=HOURS.strftime("%Y-%m-%d"), clock=[f"{time:%I%p}".lstrip("0").lower() for time in HOURS]).drop(
            columns="placed"
        ),
        {"--event-time": "day,clock"},
        ["day and clock are read together as asked_at"],
    ),
    "duplicates as key": (_frame(id=["same"] * ROWS), {"--key": "none"}, []),
    "NaN label": (WITH_NAN, {"--label": "price", "--entities": "shop", **NUMBER}, ["(20.0%) are missing"]),
}  # fmt: skip


def _save(frame: pd.DataFrame, path: Path) -> None:
    """Write a sample; in Parquet NaN stays NaN, as other writers than pandas leave it."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
        return
    kept = {name: pa.array(frame[name].to_numpy()) for name in frame.select_dtypes("float")}
    pq.write_table(pa.table({name: kept.get(name, pa.array(frame[name])) for name in frame}), path)


class Outside(Mlops):
    """``mlops`` for a problem in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.parent / "home", folder.name)
        self.environ["PYTHONPATH"] = str(folder.parent)

    def new(self, sample: Path, folder: Path, flags: dict[str, str | None]) -> Done:
        given = [text for flag, value in flags.items() if value is not None for text in (flag, value)]
        return self("problem", "new", "--sample", str(sample), "-o", str(folder), "--no-input", *given)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_awkward_sample_is_told_of_and_its_problem_runs(tmp_path, name):
    frame, flags, told = SAMPLES[name]
    folder = tmp_path / f"problem_{name.replace(' ', '_').lower()}"
    sample = tmp_path / ("sample.parquet" if name == "NaN label" else "sample.csv")
    _save(frame, sample)
    mlops = Outside(folder)
    done = mlops.new(sample, folder, {**FLAGS, **flags})
    said = " ".join(done.out.split())
    assert done.code == 0, done.out + done.err
    for text in (*told, "it ran", "was the best", "✔ training_serving_skew", "the same answers as flags"):
        assert text in said, (text, said)
    check = done.suggested("problem check")
    assert "--day" in check
    done = mlops(*check)
    assert done.code == 0, done.out
    tests = [sys.executable, "-m", "pytest", str(folder / "tests"), "-q", "--no-cov", "-n0", "-p", "no:cacheprovider"]
    ran = subprocess.run(tests, cwd=ROOT, env=mlops.environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_a_column_that_can_be_read_in_two_ways_stops_without_an_answer(tmp_path):
    _frame(fare=[f"1,{100 + n}" for n in N % 800]).to_csv(tmp_path / "sample.csv", index=False)
    done = Outside(tmp_path / "made").new(tmp_path / "sample.csv", tmp_path / "made", FLAGS)
    assert done.code != 0
    assert "--read fare=thousands (1100)" in " ".join(done.err.split())
    assert not (tmp_path / "made").exists()
