"""Rows that break the contract: into quarantine up to the table's share, and back when they keep it."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pipelines.bootstrap import pipeline
from pipelines.config import Problem, ProblemConfig, RawTable, UserError, reserved
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import app
from pipelines.feature import FeatureParams, Readmission, knowledge
from pipelines.feature.quarantine import DAY, KNOWN_AT, RULE, RUN, quarantined
from tests.conftest import HISTORY

DAY_LONG, HOUR = timedelta(days=1), timedelta(hours=1)
KNOWN = HISTORY + 30 * DAY_LONG
SHARES = {"parcels": 0.05, "deliveries": 0.05, "scans": 0.05}


class Delivery:
    """The problem's source, with changes by table, and the contract with shares that go into quarantine."""

    def __init__(self, platform, shares):
        self.platform, self.changes = platform, {}
        self.original = Problem(platform.problem.package, platform.problem.config)
        self.contract(lambda name, table: table.model_copy(update={"quarantine": shares.get(name, 0.0)}))

    def read(self, table, start, end):
        rows = self.original.read(table, start, end)
        return self.changes.get(table, lambda rows: rows)(rows)

    def contract(self, changed):
        config = self.platform.problem.config
        tables = {name: changed(name, table) for name, table in config.tables.items()}
        problem = Problem(self.original.package, config.model_copy(update={"tables": tables}))
        problem.__dict__["read"] = self.read
        self.platform.__dict__["problem"] = problem

    def allow(self, table, column, **rules):
        def changed(name, declared):
            if name != table:
                return declared
            columns = declared.columns | {column: declared.columns[column].model_copy(update=rules)}
            return declared.model_copy(update={"columns": columns})

        self.contract(changed)


@pytest.fixture
def delivered(new_platform):
    def of(shares=SHARES):
        delivery = Delivery(new_platform(), shares)
        return delivery.platform, delivery

    return of


def ingest(platform, first, last, run_id=None, **given):
    params = FeatureParams(start=HISTORY + first * DAY_LONG, end=HISTORY + last * DAY_LONG, **given)
    return platform.run("feature", params, run_id)


def readmit(platform, first, last, table, rule=None, run=None, run_id=None, known_at=KNOWN):
    wanted = Readmission(table=table, rule=rule, run=run)
    return ingest(platform, first, last, run_id, readmit=wanted, known_at=known_at)


def with_values(column, values):
    """Return a change of the first rows' values."""

    def change(rows):
        place = rows.schema.get_field_index(column)
        changed = [*values, *rows[column].to_pylist()[len(values) :]]
        return rows.set_column(place, column, pa.array(changed, rows.schema.field(column).type))

    return change


def rows_of(platform, name):
    rows = platform.tables.read(name)
    return sorted(
        map(json.dumps, (dict(sorted(row.items())) for row in json.loads(json.dumps(rows.to_pylist(), default=str))))
    )


def state(platform):
    names = [f"raw.{name}" for name in platform.problem.config.tables]
    names += [f"quarantine.{name}" for name in platform.problem.config.tables]
    names += [f"features.{view.versioned_name}" for view in platform.problem.views]
    return {name: rows_of(platform, name) for name in names if platform.tables.snapshot(name) is not None}


def in_quarantine(platform, table):
    rows = quarantined(platform.tables, table)
    return [] if rows is None else rows.sort_by([(RULE, "ascending")]).to_pylist()


def test_broken_rows_go_apart_with_their_rule_run_and_time(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [-1.0, 300.0])
    ingest(platform, 0, 1, "first", known_at=KNOWN)
    low, high = sorted(in_quarantine(platform, "parcels"), key=lambda row: row["weight"])
    assert (low["weight"], low[RULE]) == (-1.0, "weight: must be at least 0")
    assert (high["weight"], high[RULE]) == (300.0, "weight: must be at most 200")
    assert {(row[RUN], row[KNOWN_AT], row[DAY]) for row in (low, high)} == {("first", KNOWN, HISTORY)}
    kept = platform.tables.read("raw.parcels")
    whole = delivery.original.read("parcels", HISTORY, HISTORY + DAY_LONG)
    assert kept.num_rows == whole.num_rows - 2
    assert not {low["parcel_id"], high["parcel_id"]} & {*kept["parcel_id"].to_pylist()}


def test_ingest_tells_how_many_rows_are_in_quarantine(delivered, caplog):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [-1.0, 300.0])
    with caplog.at_level("INFO"):
        ingest(platform, 0, 1, "first")
    ingested = platform.runner.output(pipeline("feature"), "ingest", "first")
    assert ingested.quarantined == {"raw.parcels": 2}
    rows = platform.runner.output(pipeline("feature"), "validate", "first").rows["parcels"]
    assert f"quarantined=2 quarantine_rate={2 / rows:.6f}" in caplog.text


@pytest.mark.parametrize(
    ("share", "broken", "refused"),
    [(0.0, 1, True), (0.02, 3, True), (0.05, 3, False), (0.5, 0, False)],
)
def test_a_day_is_refused_beyond_the_share_of_its_table_alone(delivered, share, broken, refused):
    platform, delivery = delivered({"parcels": share})
    delivery.changes["parcels"] = with_values("weight", [-1.0] * broken)
    if not refused:
        ingest(platform, 0, 1)
        assert len(in_quarantine(platform, "parcels")) == broken
        return
    with pytest.raises(UserError, match=r"break the data contract:\n  parcels.weight: must be at least 0") as error:
        ingest(platform, 0, 1)
    assert "Nothing was written. Fix the source" in str(error.value)
    assert ("1 days have more broken rows than the 0.02" in str(error.value)) == (share > 0)
    assert platform.tables.snapshot("raw.parcels") is None
    assert platform.tables.snapshot("quarantine.parcels") is None


def test_the_share_holds_for_each_day_of_a_long_span(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [-1.0] * 20)
    with pytest.raises(UserError, match=r"2024-01-01: 20 of \d+"):
        ingest(platform, 0, 10)


def test_too_few_rows_of_a_day_are_refused_whatever_the_share(delivered):
    platform, delivery = delivered({"parcels": 0.9})
    delivery.changes["parcels"] = lambda rows: rows.slice(0, 5)
    with pytest.raises(UserError, match="fewer than 10 rows"):
        ingest(platform, 0, 1)


def test_keys_used_on_other_days_go_into_quarantine(delivered):
    platform, delivery = delivered()
    ingest(platform, 0, 1)
    used = platform.tables.read("raw.parcels")["parcel_id"][0].as_py()
    delivery.changes["parcels"] = with_values("parcel_id", [used])
    delivery.changes["deliveries"] = lambda rows: rows.filter(pc.not_equal(rows["parcel_id"], used))
    ingest(platform, 1, 2)
    (row,) = in_quarantine(platform, "parcels")
    assert row["parcel_id"] == used and row[RULE].startswith("parcel_id: must be unique, and is used on other days")


def test_rows_that_share_a_key_all_go_into_quarantine(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("parcel_id", ["twice", "twice"])
    ingest(platform, 0, 1)
    assert [row["parcel_id"] for row in in_quarantine(platform, "parcels")] == ["twice", "twice"]
    done = platform.runner
    readmit(platform, 0, 1, "parcels", run_id="again")
    assert done.output(pipeline("feature"), "ingest", "again").readmitted == {"raw.parcels": 0}
    assert len(in_quarantine(platform, "parcels")) == 2


def test_labels_before_their_request_go_into_quarantine(delivered):
    platform, delivery = delivered()
    delivery.changes["deliveries"] = with_values("delivered_at", [HISTORY])
    ingest(platform, 0, 1)
    (row,) = in_quarantine(platform, "deliveries")
    assert row[RULE] == "delivered_at: a label must not come before its request in parcels"


def test_a_request_after_a_label_of_another_day_goes_into_quarantine(delivered):
    platform, delivery = delivered()
    ingest(platform, 0, 1)
    labelled = platform.tables.read("raw.deliveries")["parcel_id"]
    first = pc.filter(labelled, pc.is_in(labelled, value_set=platform.tables.read("raw.parcels")["parcel_id"]))[
        0
    ].as_py()
    delivery.changes["parcels"] = lambda rows: rows.filter(pc.not_equal(rows["parcel_id"], first))
    ingest(platform, 0, 1)
    delivery.changes["parcels"] = with_values("parcel_id", [first])
    ingest(platform, 1, 2)
    (row,) = in_quarantine(platform, "parcels")
    assert row[RULE] == "asked_at: a request must not come after its label in deliveries"


def test_the_same_days_again_replace_their_quarantine_alone(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [-1.0])
    ingest(platform, 0, 1, "first")
    ingest(platform, 1, 2, "second")
    before, snapshot = state(platform), platform.tables.snapshot("quarantine.parcels")
    ingest(platform, 0, 1, "third")
    assert state(platform) == before and platform.tables.snapshot("quarantine.parcels") == snapshot
    assert {row[RUN] for row in in_quarantine(platform, "parcels")} == {"first", "second"}
    delivery.changes.clear()
    ingest(platform, 0, 1)
    assert [row[RUN] for row in in_quarantine(platform, "parcels")] == ["second"]
    whole = delivery.original.read("parcels", HISTORY, HISTORY + 2 * DAY_LONG).num_rows
    assert platform.tables.read("raw.parcels").num_rows == whole - 1


def test_readmitted_rows_are_known_from_now_and_equal_a_new_delivery(delivered):
    platform, delivery = delivered()
    delivery.changes["scans"] = with_values("queue", [-5.0])
    ingest(platform, 0, 2, "first")
    delivery.allow("scans", "queue", min=-10.0)
    readmit(platform, 0, 2, "scans", run_id="again")
    ingested = platform.runner.output(pipeline("feature"), "ingest", "again")
    assert ingested.readmitted == {"raw.scans": 1} and ingested.quarantined == {}
    assert in_quarantine(platform, "scans") == []
    versions = platform.tables.read("raw.scans", versions=True)
    (new,) = versions.filter(pc.equal(versions["queue"], -5.0)).to_pylist()
    assert new["known_from"] == KNOWN and new["known_until"] is None
    before = state(platform)
    ingest(platform, 0, 2)  # the source delivers the same again, and now it keeps the contract
    assert state(platform) == before


def test_readmission_computes_the_features_of_the_rows_anew(delivered):
    platform, delivery = delivered()
    delivery.changes["scans"] = with_values("queue", [-5.0])
    ingest(platform, 0, 2)
    view = next(view for view in platform.problem.views if view.name == "queue")
    assert -5.0 not in platform.tables.read(f"features.{view.versioned_name}")["queue_now"].to_pylist()
    delivery.allow("scans", "queue", min=-10.0)
    readmit(platform, 0, 2, "scans")
    assert -5.0 in platform.tables.read(f"features.{view.versioned_name}")["queue_now"].to_pylist()


def test_rows_that_still_break_the_contract_stay(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [-1.0, 300.0])
    ingest(platform, 0, 1)
    delivery.allow("parcels", "weight", max=400.0)
    readmit(platform, 0, 1, "parcels")
    assert [row["weight"] for row in in_quarantine(platform, "parcels")] == [-1.0]
    assert 300.0 in platform.tables.read("raw.parcels")["weight"].to_pylist()


@pytest.mark.parametrize(
    ("wanted", "stay"),
    [({"rule": "AT MOST"}, 1), ({"rule": "missing"}, 2), ({"run": "first"}, 1), ({"run": "second"}, 1)],
)
def test_only_rows_of_the_wanted_rule_or_run_are_readmitted(delivered, wanted, stay):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [300.0])
    ingest(platform, 0, 1, "first")
    delivery.changes["parcels"] = with_values("depot", ["rome"])
    ingest(platform, 1, 2, "second")
    delivery.allow("parcels", "weight", max=400.0)
    delivery.allow("parcels", "depot", values=("berlin", "lyon", "porto", "rome"))
    readmit(platform, 0, 2, "parcels", **wanted)
    assert len(in_quarantine(platform, "parcels")) == stay


def test_days_between_readmitted_ones_do_not_count_as_ingested(delivered):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [300.0])
    ingest(platform, 0, 1)
    ingest(platform, 3, 4)
    delivery.allow("parcels", "weight", max=400.0)
    readmit(platform, 0, 4, "parcels")
    delivery.changes.clear()
    ingest(platform, 1, 3)
    versions = platform.tables.read("raw.parcels", versions=True)
    between = pc.and_(
        pc.greater_equal(versions["asked_at"], pa.scalar(HISTORY + DAY_LONG)),
        pc.less(versions["asked_at"], pa.scalar(HISTORY + 3 * DAY_LONG)),
    )
    between = versions.filter(between)
    assert between.num_rows > 100 and between["known_from"].null_count == between.num_rows


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", [1, 2, 3, 4])  # the raw rows of two days, the quarantine, and the first view
def test_a_readmission_that_was_killed_is_finished_by_the_next(delivered, monkeypatch, at):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [300.0, 300.0])
    ingest(platform, 0, 1)
    ingest(platform, 1, 2)
    delivery.allow("parcels", "weight", max=400.0)
    writes, revise = 0, platform.tables.revise

    def killed(*args, **given):
        nonlocal writes
        writes += 1
        if writes == at:
            raise Killed
        return revise(*args, **given)

    with monkeypatch.context() as patched:
        patched.setattr(platform.tables, "revise", killed)
        with pytest.raises(Killed):
            readmit(platform, 0, 2, "parcels")
    readmit(platform, 0, 2, "parcels", known_at=KNOWN + HOUR)
    assert in_quarantine(platform, "parcels") == []
    weights = platform.tables.read("raw.parcels")["weight"].to_pylist()
    assert weights.count(300.0) == 4
    whole = delivery.original.read("parcels", HISTORY, HISTORY + 2 * DAY_LONG).num_rows
    assert len(weights) == whole


def test_an_ingest_that_was_killed_before_its_quarantine_is_resumed(delivered, monkeypatch):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [300.0])
    revise = platform.tables.revise

    def killed(name, *args, **given):
        if name == "quarantine.parcels":
            raise Killed
        return revise(name, *args, **given)

    with monkeypatch.context() as patched:
        patched.setattr(platform.tables, "revise", killed)
        with pytest.raises(Killed):
            ingest(platform, 0, 1, "one")
    platform.runner.run(pipeline("feature"), "one")
    assert [row["weight"] for row in in_quarantine(platform, "parcels")] == [300.0]


def test_the_commands_show_reasons_and_take_rows_up(delivered, monkeypatch):
    platform, delivery = delivered()
    delivery.changes["parcels"] = with_values("weight", [300.0])
    ingest(platform, 0, 1, "first")
    monkeypatch.setattr("pipelines.bootstrap.Platform", lambda _settings: platform)

    def mlops(*arguments):
        return CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False)

    (reason,) = json.loads(mlops("quarantine", "--json").stdout)
    assert (reason["table"], reason["rule"], reason["rows"]) == ("parcels", "weight: must be at most 200", 1)
    assert reason["runs"] == ["first"] and reason["example"]["weight"] == 300.0
    assert "recipient" not in reason["example"], "it is personal"
    assert "weight: must be at most 200" in " ".join(mlops("quarantine", "parcels").stdout.split())
    assert json.loads(mlops("readmit", "parcels", "--json").stdout)["stay"] == 1
    delivery.allow("parcels", "weight", max=400.0)
    told = json.loads(mlops("readmit", "parcels", "--json").stdout)
    assert (told["readmitted"], told["stay"]) == (1, 0)
    assert json.loads(mlops("readmit", "parcels", "--json").stdout)["run_id"] is None
    assert "empty" in mlops("quarantine").stdout


def test_rows_are_taken_as_often_as_they_come_when_sets_are_compared():
    rows = pa.table({"a": [1, 1, 2, None], "b": ["x", "x", "y", None]})
    others = pa.table({"b": ["x", None], "a": [1, None]})
    assert knowledge.absent(rows, others).sort_by("a").to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert knowledge.common(rows, others).num_rows == 2


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_would_take_every_row_is_refused(share):
    table = Problem.load("tests.problems.late").config.tables["scans"].model_dump()
    with pytest.raises(ValidationError, match="quarantine"):
        RawTable.model_validate(table | {"quarantine": share})


@pytest.mark.parametrize("name", reserved.QUARANTINE)
def test_a_column_cannot_have_a_name_of_the_quarantine(name):
    document = Problem.load("tests.problems.late").config.model_dump()
    document["tables"]["scans"]["columns"][name] = {"type": "float"}
    with pytest.raises(ValidationError, match=f"the name '{name}' is the engine's own"):
        ProblemConfig.model_validate(document)
