"""Tables follow problem.toml: what is added, widened and dropped by itself, what is renamed and retyped by migrate."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pipelines.config import Column, DataError, Problem, RawTable, UserError
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import app
from pipelines.feature import FeatureParams, schema
from pipelines.feature.schema import ChangeKind, changes
from pipelines.storage.tables import TIMESTAMP, Stored, Tables
from pipelines.training.extract import training_frame
from tests.conftest import HISTORY, make_platform

DAY = timedelta(days=1)
DAYS = 12
END = HISTORY + DAYS * DAY
STORED = {
    "string": pa.string(),
    "float": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}


def column(kind, **given):
    return {"type": kind, **given}


def contract(**columns):
    return RawTable(description="", event_time="at", columns={"at": column("timestamp"), **columns})


@pytest.mark.parametrize("declared", STORED)
@pytest.mark.parametrize("stored", [*STORED.values(), pa.int32(), pa.float32()])
def test_a_type_stays_widens_or_is_migrated(declared, stored):
    found = changes("t", contract(x=column(declared)), Stored({"at": TIMESTAMP, "x": stored}, "at", 1))
    if stored == STORED[declared]:
        assert found == []
    elif (stored, declared) in ((pa.int32(), "integer"), (pa.float32(), "float")):
        assert [change.kind for change in found] == [ChangeKind.WIDEN]
    else:
        assert [change.kind for change in found] == [ChangeKind.RETYPE]


@pytest.mark.parametrize(
    ("columns", "rows", "kinds"),
    [
        ({"x": column("float")}, 5, []),
        ({"x": column("float"), "y": column("float", nullable=True)}, 5, ["add"]),
        ({"x": column("float"), "y": column("float", default=1.5)}, 5, ["add"]),
        ({"x": column("float"), "y": column("float")}, 5, ["refuse"]),
        ({"x": column("float"), "y": column("float")}, 0, ["add"]),
        ({}, 5, ["keep"]),
        ({"y": column("float", renamed_from="x")}, 5, ["rename"]),
        ({"y": column("string", renamed_from="x")}, 5, ["rename", "retype"]),
        ({"x": column("float"), "y": column("float", nullable=True, renamed_from="z")}, 5, ["add"]),
    ],
)
def test_each_change_of_columns_is_what_it_is(columns, rows, kinds):
    found = changes("t", contract(**columns), Stored({"at": TIMESTAMP, "x": pa.float64()}, "at", rows))
    assert [change.kind for change in found] == kinds


def test_another_event_time_is_refused():
    (found,) = changes("t", contract(), Stored({"at": TIMESTAMP, "then": TIMESTAMP}, "then", 5))[:1]
    assert (found.kind, "'then'" in found.says) == (ChangeKind.REFUSE, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (column("float", default=1, nullable=True), "neither nullable nor unique"),
        (column("string", default="a", unique=True), "neither nullable nor unique"),
        (column("float", default="a"), "is no float"),
        (column("integer", default=True), "is no integer"),
        (column("boolean", default=1), "is no boolean"),
    ],
)
def test_a_default_that_does_not_fit_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        Column(**given)


def with_columns(problem, table, columns):
    """Return a problem in which a table has these columns, and its source."""
    config = problem.config
    changed = RawTable(**{**config.tables[table].model_dump(), "columns": columns})
    found = Problem(problem.package, config.model_copy(update={"tables": {**config.tables, table: changed}}))
    found.__dict__["read"] = problem.read
    return found


@pytest.fixture
def started(new_platform):
    """A platform with days of history, in which scans have a shift, a number, and a clerk."""
    platform = new_platform()
    columns = platform.problem.config.tables["scans"].columns
    problem = with_columns(
        Problem(platform.problem.package, platform.problem.config),
        "scans",
        {**columns, "shift": column("integer"), "clerk": column("string", nullable=True)},
    )
    problem.__dict__["read"] = source_of(platform.problem.read)
    return ingested(at(platform, problem), 0, DAYS)


def source_of(read, **change):
    """Return a source whose scans have a shift and a clerk, and what else a change says, from the rows."""
    given = {"shift": lambda rows: pc.hour(rows["scanned_at"]), "clerk": lambda rows: pc.utf8_upper(rows["depot"])}

    def source(table, start, end):
        rows = read(table, start, end)
        for name, values in ({**given, **change} if table == "scans" else {}).items():
            rows = rows.append_column(name, values(rows)) if values else rows
        return rows

    return source


def at(platform, problem):
    """Return a platform on the same home, with another problem."""
    platform = make_platform(platform.home)
    platform.__dict__["problem"] = problem
    return platform


def changed(platform, columns, **change):
    """Return the platform as it is after problem.toml gives scans these columns beside its own."""
    from tests.problems import parcels

    own = dict(platform.problem.config.tables["scans"].columns)
    kept = {name: one for name, one in own.items() if name not in ("shift", "clerk")}
    problem = with_columns(platform.problem, "scans", {**kept, **columns})
    problem.__dict__["read"] = source_of(parcels.read, **change)
    return at(platform, problem)


def ingested(platform, first, last):
    params = FeatureParams(start=HISTORY + first * DAY, end=HISTORY + last * DAY)
    platform.run("feature", params)
    return platform


def scans(platform, **given):
    contract = platform.problem.config.tables["scans"]
    return schema.read(platform.tables, "scans", contract, **given).sort_by(
        [("scanned_at", "ascending"), ("depot", "ascending")]
    )


def state(platform):
    return platform.tables.read("raw.scans", versions=True).sort_by("scanned_at")


SHIFT, CLERK = column("integer"), column("string", nullable=True)


def test_new_columns_follow_and_older_rows_have_null_or_the_default(started):
    new = {"load": column("float", nullable=True), "kind": column("string", default="letter")}
    kinds = {"load": lambda rows: pc.add(rows["queue"], 0.5), "kind": lambda rows: pa.array(["box"] * rows.num_rows)}
    platform = changed(started, {"shift": SHIFT, "clerk": CLERK, **new}, **kinds)
    before, queues = training_frame(started.problem, started.tables, None, END), scans(started)["queue"]
    rows = scans(platform)
    assert rows["load"].null_count == rows.num_rows
    assert rows["kind"].unique().to_pylist() == ["letter"]
    assert training_frame(platform.problem, platform.tables, None, END).equals(before)
    old_snapshot = platform.tables.snapshot("raw.scans")
    ingested(platform, DAYS, DAYS + 1)
    rows = scans(platform)
    old = pc.less(rows["scanned_at"], pa.scalar(END, TIMESTAMP))
    assert rows.filter(old)["queue"].equals(queues)
    assert rows.filter(old)["load"].null_count == queues.length()
    assert rows.filter(old)["kind"].unique().to_pylist() == ["letter"]
    late = rows.filter(pc.invert(old))
    assert late.num_rows > 0
    assert late["load"].to_pylist() == pc.add(late["queue"], 0.5).to_pylist()
    assert late["kind"].unique().to_pylist() == ["box"]
    assert scans(platform, snapshot=old_snapshot)["kind"].unique().to_pylist() == ["letter"]
    assert training_frame(platform.problem, platform.tables, None, END).equals(before)


def test_days_that_are_ingested_again_have_the_new_column_from_then_on(started):
    new = {"kind": column("string", default="letter")}
    platform = changed(started, {"shift": SHIFT, "clerk": CLERK, **new}, kind=lambda rows: pc.utf8_lower(rows["depot"]))
    ingested(platform, 2, 3)
    versions = scans(platform, versions=True)
    of_day = pc.and_(
        pc.greater_equal(versions["scanned_at"], pa.scalar(HISTORY + 2 * DAY, TIMESTAMP)),
        pc.less(versions["scanned_at"], pa.scalar(HISTORY + 3 * DAY, TIMESTAMP)),
    )
    ended = pc.is_valid(versions["known_until"])
    assert versions.filter(ended)["kind"].unique().to_pylist() == ["letter"]
    assert versions.filter(pc.and_(of_day, pc.invert(ended)))["kind"].unique().to_pylist() == [
        "berlin",
        "lyon",
        "porto",
    ]
    assert not pc.any(pc.and_(ended, pc.invert(of_day))).as_py()


def test_a_dropped_column_is_not_read_until_it_is_declared_again(started):
    clerks = scans(started)["clerk"]
    platform = changed(started, {"shift": SHIFT}, clerk=None)
    ingested(platform, DAYS, DAYS + 1)
    assert "clerk" not in scans(platform).column_names
    again = scans(changed(started, {"shift": SHIFT, "clerk": CLERK}), end=END)
    assert again["clerk"].equals(clerks)


RENAMED = {"shift": SHIFT, "employee": column("string", nullable=True, renamed_from="clerk")}


def test_a_renaming_is_refused_until_it_is_migrated_and_keeps_all_values(started):
    clerks, before, snapshot = scans(started)["clerk"], state(started), started.tables.snapshot("raw.scans")
    platform = changed(started, RENAMED, clerk=None, employee=lambda rows: pc.utf8_upper(rows["depot"]))
    with pytest.raises(UserError, match=r"scans.employee: stored as 'clerk'\nRun 'mlops data migrate'"):
        ingested(platform, DAYS, DAYS + 1)
    assert state(platform).equals(before)
    assert scans(platform)["employee"].equals(clerks), "it is read by the former name meanwhile"
    schema.migrate(platform.problem, platform.tables)
    assert schema.plan(platform.problem, platform.tables) == []
    assert scans(platform)["employee"].equals(clerks)
    final = changed(started, {**RENAMED, "employee": CLERK}, clerk=None, employee=lambda rows: rows["depot"])
    assert scans(final, snapshot=snapshot)["employee"].equals(clerks), "an older snapshot has the name of today"
    ingested(final, DAYS, DAYS + 1)
    rows = scans(final)
    assert rows.slice(0, len(clerks))["employee"].equals(clerks)
    assert {*rows.slice(len(clerks))["employee"].to_pylist()} == {"berlin", "lyon", "porto"}


def test_another_type_is_refused_until_it_is_migrated_and_keeps_all_values(started):
    shifts, snapshot = scans(started)["shift"], started.tables.snapshot("raw.scans")
    change = {"clerk": lambda rows: rows["depot"], "shift": lambda rows: pc.hour(rows["scanned_at"])}
    platform = changed(started, {"shift": column("string"), "clerk": CLERK}, **change)
    with pytest.raises(UserError, match=r"scans.shift: stored as integer, declared string\nRun 'mlops data migrate'"):
        ingested(platform, DAYS, DAYS + 1)
    schema.migrate(platform.problem, platform.tables)
    expected = [str(shift) for shift in shifts.to_pylist()]
    assert platform.tables.stored("raw.scans").columns["shift"] == pa.string()
    assert scans(platform)["shift"].to_pylist() == expected
    assert scans(platform, snapshot=snapshot)["shift"].to_pylist() == expected
    ingested(platform, DAYS, DAYS + 1)
    assert scans(platform)["shift"].to_pylist()[: len(expected)] == expected


def test_values_that_the_new_type_does_not_hold_stop_the_migration(started):
    before = state(started)
    platform = changed(started, {"shift": SHIFT, "clerk": column("float", nullable=True)})
    with pytest.raises(DataError, match=r"raw.scans.clerk: must be a float \(for example 'BERLIN'"):
        schema.migrate(platform.problem, platform.tables)
    assert state(started).equals(before)
    assert started.tables.stored("raw.scans").columns["clerk"] == pa.string()


@pytest.mark.parametrize("other", [{"shift": SHIFT, "clerk": CLERK}, RENAMED])
def test_a_new_required_column_without_a_default_is_refused(started, other):
    before = state(started)
    given = {"load": lambda rows: rows["queue"], "employee": lambda rows: rows["depot"]}
    platform = changed(started, {**other, "load": column("float")}, **given)
    with pytest.raises(UserError, match=r"scans.load: new and required, and [0-9,]+ rows are older.*\n"):
        ingested(platform, DAYS, DAYS + 1)
    with pytest.raises(UserError, match=r"^The tables are"):
        schema.migrate(platform.problem, platform.tables)
    assert state(platform).equals(before)


def test_a_migration_that_was_killed_is_finished_by_the_next(started, monkeypatch):
    platform = changed(started, {"stint": column("integer", renamed_from="shift"), "clerk": CLERK}, clerk=None)
    parcels = platform.problem.config.tables["parcels"]
    columns = {**parcels.columns, "addressee": column("string", nullable=True, renamed_from="recipient")}
    del columns["recipient"]
    platform = at(platform, with_columns(platform.problem, "parcels", columns))
    migrate, done = Tables.migrate, []

    def killed(tables, name, *given):
        if done:
            raise KeyboardInterrupt
        done.append(name)
        migrate(tables, name, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Tables, "migrate", killed)
        with pytest.raises(KeyboardInterrupt):
            schema.migrate(platform.problem, platform.tables)
    (waiting,) = schema.plan(platform.problem, platform.tables)
    assert f"raw.{waiting.table}" not in done
    schema.migrate(platform.problem, platform.tables)
    assert schema.plan(platform.problem, platform.tables) == []
    assert scans(platform)["stint"].equals(pc.hour(scans(platform)["scanned_at"]))


@pytest.fixture
def told(monkeypatch):
    """Run the command, with the problem of a platform."""

    def run(platform, *arguments):
        monkeypatch.setattr(Problem, "load", lambda _name: platform.problem)
        given = {"RATCHET_HOME": str(platform.home), "RATCHET_PROBLEM": platform.problem.package}
        return CliRunner().invoke(app, ["data", "migrate", *arguments], env=given, catch_exceptions=False).output

    return run


def test_the_command_shows_the_plan_and_applies_it_when_told(started, told):
    assert "are stored as problem.toml declares" in told(started)
    platform = changed(started, RENAMED)
    assert "mlops data migrate --yes" in told(platform)
    assert json.loads(told(platform, "--json")) == [
        {"table": "scans", "column": "employee", "kind": "rename", "says": "stored as 'clerk'"}
    ]
    assert "migrated" in told(platform, "--yes")
    assert "are stored as problem.toml declares" in told(platform)
