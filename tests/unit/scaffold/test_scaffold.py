"""A problem written from a sample: what is inferred, what is refused, and that what is written runs."""

import shutil
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipelines.config import ProblemConfig, Task, UserError, load_toml
from pipelines.scaffold.check import errors
from pipelines.scaffold.contract import bounds
from pipelines.scaffold.interview import Asker, Prompt, interview, read_with_answers
from pipelines.scaffold.names import clean
from pipelines.scaffold.profile import profile
from pipelines.scaffold.sample import Reading, read_sample
from tests.conftest import ROOT
from tests.unit.scaffold.conftest import ROWS, orders


def _text(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


def _with(**columns: object) -> pd.DataFrame:
    frame = orders()
    added = pd.DataFrame(columns, index=frame.index)
    return pd.concat([frame.drop(columns=[name for name in columns if name in frame]), added], axis=1)


MIXED = [f"2024-01-{1 + n // 24 % 28:02d}T{n % 24:02d}:00:00{'Z' if n % 2 else ''}" for n in range(ROWS)]


@pytest.mark.parametrize(
    ("sample", "flags", "message"),
    [
        (b"", {}, "is empty; a sample needs a header and rows"),
        (b"id,asked,late\n", {}, "has no rows"),
        (b"id,asked,late\n1,2024-01-01T00:00:00Z,1\n", {}, "too few rows, 1; 50 are needed"),
        (_text(orders()).replace(",a,", ",ä,").encode("latin1"), {}, "is not UTF-8: byte 0xe4 in line"),
        (_with(placed="soon"), {}, "no column of times without a missing one"),
        (_with(placed=MIXED), {}, "some with a time zone and some without: write them all alike"),
        (_with(id="same"), {"key": "id"}, "1 values of id are there several times, such as id same"),
        (_with(late=1), {}, "the label 'late' is 1 for every row: there is nothing to learn"),
        (_with(late=[*["yes", "no"] * (ROWS // 2)]), {}, "write an expression, such as \"late = 'no'\""),
        (orders(), {"label": "1 / (late * 1.0)"}, "is infinite for 689 rows"),
        (orders(), {"label": "lat > 1"}, "It may use the columns id, placed, shop, price, late"),
        (orders(), {"key": "idd"}, "key: there is no column 'idd'; did you mean 'id'?"),
        (orders(), {"event_time": "shop"}, "event time: shop is string (such as"),
        (orders(), {"label_delay": "soon"}, "label delay: 'soon' is not a duration"),
        (orders(), {"label_delay": "30d"}, "need at least 172 days, to train, validate and test on"),
        (orders(), {"label_time": "placed"}, "give --label-time or --label-delay, not both"),
        (orders(), {"label_time": "price", "label_delay": None}, "label time: price is float, not a time"),
        (orders(), {"label": "price"}, "these flags are needed: --over, --under"),
        (orders(), {"label": "price", "task": "binary_classification"}, "a classification has labels 0 and 1"),
        (orders(), {"task": "clustering"}, "task: there is no 'clustering'"),
        (orders(), {"miss": "much"}, "miss: 'much' is no number"),
        (orders(), {"miss": "0"}, "a cost is more than 0"),
        (orders(), {"entities": "shop", "known_later": "shop"}, "shop is known only with the label"),
        (orders(), {"personal": "id"}, "key: id is personal, and the key is logged"),
        (orders(), {"owner": None, "miss": None}, "these flags are needed: --owner, --miss"),
    ],
)  # fmt: skip
def test_a_wrong_sample_or_answer_is_refused_and_nothing_is_written(make, tmp_path, sample, flags, message):
    with pytest.raises(UserError) as error:
        make(sample, **flags)
    assert message in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("frame", "settings", "flags"),
    [
        (orders(), {}, {}),
        (orders(), {}, {"entities": "none"}),
        (orders(), {}, {"label": "price", "over": "1", "under": "2"}),
        (_with(**{f"some number {n}": np.arange(ROWS) % 7 for n in range(200)}), {}, {}),
        (_with(placed=orders()["placed"].str.replace("00Z", "00+02:00")), {}, {}),
        (_with(placed=orders()["placed"].where(orders().index % 2 == 0, orders()["placed"].str.replace("Z", "+05:30"))), {}, {}),
        (_with(placed=pd.date_range("2024-04-02", periods=ROWS, freq="h").strftime("%d.%m.%Y %H:%M")), {"zone": "Europe/Berlin", "time_format": "%d.%m.%Y %H:%M"}, {}),
        (orders().rename(columns={"shop": "Größe (kg)", "price": "select", "placed": "时间", "late": "Label"}), {}, {"label": "Label", "entities": "Größe (kg)"}),
        (_with(done=(pd.date_range("2024-01-01 05:00", periods=ROWS, freq="h", tz="UTC"))), {}, {"label_time": "done", "label_delay": None}),
        (_with(due=(pd.date_range("2024-01-02", periods=ROWS, freq="h", tz="UTC")), note=[f"text {n}" for n in range(ROWS)]), {}, {}),
    ],
    ids=["plain", "no entity", "regression", "200 columns", "a zone", "mixed zones", "a format", "names", "label time", "times and text"],
)  # fmt: skip
def test_what_is_written_loads_and_keeps_its_own_contract(make, monkeypatch, request, frame, settings, flags):
    folder = make(frame, folder=f"made_{abs(hash(request.node.name))}", **settings, **flags)
    monkeypatch.syspath_prepend(str(folder.parent))
    config = load_toml(folder / "problem.toml", ProblemConfig)
    day = pq.read_table(folder / "data/requests.parquet")[config.event_time][ROWS // 2].as_py()
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    assert errors(folder.name, midnight) == []
    project = folder.parent / "project"  # where it lies as model/, beside the packages that it imports
    shutil.copytree(folder, project / "model")
    shutil.copy(ROOT / "pyproject.toml", project)
    for package in ("monitoring", "pipelines"):
        (project / package).symlink_to(ROOT / package)
    for command in (["check", "model"], ["format", "--check", "model"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache"]
        done = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_each_row_becomes_a_request_and_an_outcome_that_is_known_later(make):
    frame = _with(late=orders()["late"].astype(float).where(orders().index > 9))
    folder = make(frame)
    requests, outcomes = (
        pq.read_table(folder / f"data/{name}.parquet").to_pandas() for name in ("requests", "outcomes")
    )
    assert list(requests) == ["id", "placed", "shop", "price"], "the label is not known when it is asked for"
    assert list(outcomes) == ["id", "known_at", "shop", "late"]
    assert len(outcomes) == ROWS - 10, "no label, no outcome"
    both = requests.merge(outcomes, on="id")
    assert (both["known_at"] - both["placed"] == timedelta(hours=6)).all()


def test_personal_columns_are_found_declared_and_left_empty(make, tmp_path):
    people = [f"{first} {last}" for first in ("Ada", "Bo", "Cy", "Di") for last in ("Long", "Kurz", "Fast", "Slow")]
    frame = _with(
        e_mail=[f"p{n}@example.com" for n in range(ROWS)],
        reached_by=[f"+49 30 1234{n:04d}" for n in range(ROWS)],
        who=[f"{people[n % 16]}{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}" for n in range(ROWS)],
        station_name=["North"] * ROWS,
    )
    frame.to_csv(tmp_path / "people.csv", index=False)
    found = {name: column.personal for name, column in profile(read_sample(tmp_path / "people.csv")).items()}
    assert {name for name, reason in found.items() if reason} == {"e_mail", "reached_by", "who"}
    folder = make(frame)
    columns = load_toml(folder / "problem.toml", ProblemConfig).request_columns
    assert {name for name, column in columns.items() if column.personal} == {"e_mail", "reached_by", "who"}
    rows = pq.read_table(folder / "data/requests.parquet")
    assert all(rows[name].null_count == ROWS for name in ("e_mail", "reached_by", "who"))


def test_names_become_valid_and_stay_different():
    given = ["A b", "a_b", "Größe (kg)", "order", "label", "2nd", "...", "x" * 80]
    assert clean(given) == ["a_b", "a_b_2", "grosse_kg", "order_column", "label_column", "column_2nd", "column_7", "x" * 40]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 10, (0, 15)), (2, 10, (-2, 14)), (-10, 0, (-15, 0)), (5, 5, (0, 10)), (0, 0, (0, 0))]
)  # fmt: skip
def test_bounds_leave_room_and_never_cut_off_what_was_seen(low, high, expected):
    assert bounds(low, high) == pytest.approx(expected)


def test_a_problem_is_replaced_only_by_its_name(make, tmp_path):
    folder = make(name="first")
    (folder / "mine.py").touch()
    for replace in (None, "second"):
        with pytest.raises(UserError, match="holds the problem 'first'"):
            make(name="second", replace=replace)
    assert (folder / "mine.py").exists()
    make(name="second", replace="first")
    assert load_toml(folder / "problem.toml", ProblemConfig).name == "second"
    assert not (folder / "mine.py").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").touch()
    with pytest.raises(UserError, match="holds something that is no problem"):
        make(folder="other", replace="second")


def test_questions_are_asked_where_somebody_is_there(tmp_path, monkeypatch):
    orders().to_csv(tmp_path / "shop orders.csv", index=False)
    said = {"Label": "late", "When is": "6h", "Who answers": "me", "Cost of a false": "1", "Cost of a missed": "2"}
    monkeypatch.setattr(Prompt, "ask", lambda question, console, default: next((answer for start, answer in said.items() if question.startswith(start)), default))  # fmt: skip
    ask = Asker({}, Console())
    sample, _ = read_with_answers(tmp_path / "shop orders.csv", Reading(), ask)
    answers = interview(tmp_path / "shop orders.csv", sample, profile(sample), ask)
    assert (answers.name, answers.key, answers.event_time, answers.task) == ("shop-orders", ("id",), "placed", Task.BINARY)  # fmt: skip
    assert (answers.entities, answers.costs) == (("shop",), {"false_alarm": 1.0, "miss": 2.0})


def test_a_wrong_answer_is_reported_and_asked_for_again(tmp_path, monkeypatch, capsys):
    orders().to_csv(tmp_path / "orders.csv", index=False)
    said = {
        "Label": ["lat", "late"],
        "When is": ["soon", "6h"],
        "Who answers": ["me"],
        "Cost of a false": ["much", "1"],
        "Cost of a missed": ["-2", "2"],
        "Column that says": ["place", "placed"],
        "Columns whose": ["shops", "shop"],
        "Task": ["guess", "binary_classification"],
    }

    def answer(question, default):
        return next((said[start].pop(0) for start in said if question.startswith(start)), default)

    monkeypatch.setattr(Prompt, "ask", lambda question, console, default: answer(question, default))
    ask = Asker({}, Console(width=300))
    sample, _ = read_with_answers(tmp_path / "orders.csv", Reading(), ask)
    answers = interview(tmp_path / "orders.csv", sample, profile(sample), ask)
    assert (answers.label, answers.event_time, answers.entities) == ("late", "placed", ("shop",))
    assert answers.costs == {"false_alarm": 1.0, "miss": 2.0}
    told = capsys.readouterr().out
    for error in (
        "the label 'lat' is not always a number",
        "'soon' is not a duration",
        "'much' is no number",
        "-2 is no cost",
        "there is no column 'place'",
        "there is no column 'shops'",
        "there is no 'guess'",
    ):
        assert error in told, error
