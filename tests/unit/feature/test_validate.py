"""Each rule of the data contract, broken."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipelines.config import Problem, UserError
from pipelines.feature import FeatureParams
from pipelines.feature.conversion import declared
from pipelines.feature.extract import extract
from pipelines.feature.validate import validate
from tests.conftest import HISTORY, PROBLEMS

DAYS = FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=2))


@pytest.fixture
def problem():
    return Problem.load(PROBLEMS[0])


@pytest.fixture
def raw(problem):
    return {name: problem.read(name, DAYS.start, DAYS.end) for name in problem.config.tables}


def replaced(rows, column, value, position=0):
    values = rows[column].to_pylist()
    values[position] = value
    kind = rows.schema.field(column).type
    return rows.set_column(rows.schema.get_field_index(column), column, pa.array(values, kind))


def test_rows_that_keep_the_contract_come_out_in_their_declared_types(problem, raw):
    assert validate(DAYS, problem, raw).rows == {name: rows.num_rows for name, rows in raw.items()}
    nanoseconds = raw["parcels"].schema.set(1, pa.field("asked_at", pa.timestamp("ns", tz="UTC")))
    rows = declared(
        "parcels",
        raw["parcels"].cast(nanoseconds).append_column("more", [[0] * raw["parcels"].num_rows]),
        problem.config.tables["parcels"].columns,
    )
    assert rows.equals(raw["parcels"])


@pytest.mark.parametrize(
    ("table", "broken", "message"),
    [
        ("parcels", lambda rows: replaced(rows, "depot", "rome"), "parcels.depot: must be one of berlin, lyon, porto (1 rows, for example 'rome')"),
        ("parcels", lambda rows: replaced(rows, "depot", None), "parcels.depot: must not be missing (1 rows)"),
        ("parcels", lambda rows: replaced(rows, "weight", -1.0), "parcels.weight: must be at least 0 (1 rows, for example -1.0)"),
        ("parcels", lambda rows: replaced(rows, "weight", 300.0), "parcels.weight: must be at most 200"),
        ("parcels", lambda rows: replaced(rows, "parcel_id", rows["parcel_id"][1].as_py()), "parcels.parcel_id: must be unique"),
        ("parcels", lambda rows: rows.drop_columns(["weight"]), "parcels.weight: the column is missing"),
        ("parcels", lambda rows: rows.slice(0, 5), "parcels.asked_at: 2 days have fewer than 10 rows"),
        ("parcels", lambda rows: rows.slice(0, 0), "2 days have fewer than 10 rows (0 rows, for example '2024-01-01: 0'"),
        ("parcels", lambda rows: replaced(rows, "asked_at", datetime(2025, 1, 1, tzinfo=UTC)), "parcels.asked_at: must lie in 2024-01-01 to 2024-01-03"),
        ("scans", lambda rows: replaced(rows, "queue", float("nan")), "scans.queue: must not be missing"),
        ("scans", lambda rows: rows.set_column(2, "queue", pa.array(["long"] * rows.num_rows)), "scans.queue: must be a float (for example 'long' in row 0)"),
    ],
)  # fmt: skip
def test_a_broken_rule_refuses_the_days_and_says_which_and_how(problem, raw, table, broken, message):
    delivered = {**raw, table: broken(raw[table])}
    with pytest.raises(UserError) as error:
        validate(DAYS, problem, extract(DAYS, problem, lambda name, *_: delivered[name]))
    assert message in str(error.value)


def test_every_violation_is_reported_at_once(problem, raw):
    raw["parcels"] = replaced(replaced(raw["parcels"], "depot", "rome"), "weight", -1.0)
    raw["scans"] = replaced(raw["scans"], "queue", -5.0)
    with pytest.raises(UserError) as error:
        validate(DAYS, problem, raw)
    assert all(column in str(error.value) for column in ("parcels.depot", "parcels.weight", "scans.queue"))


def test_a_refused_day_leaves_nothing_behind(new_platform, monkeypatch):
    platform = new_platform()
    problem = platform.problem

    def shortened(table, start, end):
        return problem.read(table, start, end).slice(0, 5)

    monkeypatch.setitem(platform.__dict__, "problem", Problem(problem.package, problem.config))
    monkeypatch.setitem(platform.problem.__dict__, "read", shortened)
    with pytest.raises(UserError, match="Nothing was written"):
        platform.run("feature", DAYS)
    assert platform.tables.snapshot("raw.parcels") is None
    assert platform.online.as_of(problem.views[0].versioned_name) is None
