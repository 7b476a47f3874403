"""Corrections on their way through the pipelines: into training frames, the online store and the answer of data diff."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from pipelines.adapters.aws.athena import Athena
from pipelines.bootstrap import pipeline
from pipelines.config import Problem, UserError
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import app
from pipelines.feature import FeatureParams
from pipelines.feature.materialise import entity_key, restore
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables
from pipelines.training.extract import training_frame
from tests.conftest import HISTORY

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DAYS = 20
END = HISTORY + DAYS * DAY
FEATURE = pipeline("feature")


class Source:
    """The problem's source, with changes: of a table, a function of its rows."""

    def __init__(self, problem):
        self.problem, self.changes = problem, {}

    def __call__(self, table, start, end):
        rows = self.problem.read(table, start, end)
        for change in self.changes.get(table, ()):
            rows = change(rows)
        return rows

    def change(self, table, change):
        self.changes.setdefault(table, []).append(change)


@pytest.fixture
def corrected(new_platform, monkeypatch):
    """A platform with days of history, and the source to correct."""
    platform = new_platform()
    original = Problem(platform.problem.package, platform.problem.config)
    source = Source(original)
    monkeypatch.setitem(platform.problem.__dict__, "read", source)
    platform.run("feature", FeatureParams(start=HISTORY, end=END), "history")
    return platform, source


def ingest(platform, first, last, **given):
    return platform.run("feature", FeatureParams(start=HISTORY + first * DAY, end=HISTORY + last * DAY, **given))


def without(column, value, since=None):
    def change(rows):
        gone = pc.equal(rows[column], value)
        if since is not None:
            time = "scanned_at" if "scanned_at" in rows.column_names else "asked_at"
            gone = pc.and_(gone, pc.greater_equal(rows[time], pa.scalar(since)))
        return rows.filter(pc.invert(gone))

    return change


def with_value(column, value, where, equal):
    def change(rows):
        chosen = pc.equal(rows[where], equal)
        place = rows.schema.get_field_index(column)
        return rows.set_column(place, column, pc.if_else(chosen, pa.scalar(value, rows[column].type), rows[column]))

    return change


def versions(platform):
    names = [f"raw.{name}" for name in platform.problem.config.tables]
    names += [f"features.{view.versioned_name}" for view in platform.problem.views]
    return {name: platform.tables.snapshot(name) for name in names}


def frame(platform, as_of=END):
    rows = training_frame(platform.problem, platform.tables, None, as_of).sort_by("key")
    return {row["key"]: row for row in rows.to_pylist()}


def test_the_same_days_again_make_no_version_of_any_table(corrected):
    platform, _ = corrected
    before = versions(platform)
    ingest(platform, 0, DAYS)
    ingest(platform, 3, 5)
    assert versions(platform) == before


def test_a_corrected_feature_counts_for_requests_made_after_it_was_known(corrected):
    platform, source = corrected
    before = frame(platform)
    known = HISTORY + 15 * DAY
    source.change("scans", lambda rows: rows.set_column(2, "queue", pc.add(rows["queue"], 100.0)))
    ingest(platform, 14, 16, known_at=known)
    after = frame(platform)
    old = [key for key, row in before.items() if row["event_time"] < known]
    new = [key for key, row in before.items() if known <= row["event_time"] < HISTORY + 16 * DAY]
    assert len(old) > 100 and len(new) > 20
    assert all(after[key] == before[key] for key in old)
    assert all(after[key]["queue_now"] > 100 > before[key]["queue_now"] for key in new)


def test_corrected_tables_give_training_what_nobody_had_then(corrected):
    platform, source = corrected
    before = frame(platform)
    source.change("scans", lambda rows: rows.set_column(2, "queue", pc.add(rows["queue"], 100.0)))
    ingest(platform, 14, 16, known_at=END + DAY)
    assert frame(platform) == before
    config = platform.problem.config
    scans = config.tables["scans"].model_copy(update={"corrections": "corrected"})
    changed = config.model_copy(update={"tables": {**config.tables, "scans": scans}})
    problem = Problem(platform.problem.package, changed)
    rows = training_frame(problem, platform.tables, None, END).to_pylist()
    seen = [row for row in rows if HISTORY + 14.5 * DAY <= row["event_time"] < HISTORY + 16 * DAY]
    assert len(seen) > 50 and all(row["queue_now"] > 100 for row in seen)


def test_a_corrected_label_is_learned_from_once_it_is_known(corrected):
    platform, source = corrected
    key, row = next((key, row) for key, row in frame(platform).items() if row["label"] == 0)
    source.change("deliveries", with_value("minutes", 999.0, "parcel_id", key))
    ingest(platform, 0, DAYS, known_at=END + DAY)
    assert frame(platform)[key] == row
    later = frame(platform, END + 2 * DAY).get(key)
    assert later is None or later["label"] == 1


def test_a_request_stays_as_it_was_asked_and_goes_when_it_is_withdrawn(corrected):
    platform, source = corrected
    (key, row), (other, _), *_ = [item for item in frame(platform).items() if item[1]["weight"] < 100]
    source.change("parcels", with_value("weight", 150.0, "parcel_id", key))
    source.change("parcels", without("parcel_id", other))
    ingest(platform, 0, DAYS, known_at=END - HOUR)
    after = frame(platform)
    assert after[key]["weight"] == row["weight"]
    assert other not in after


def online(platform):
    view = platform.problem.views[0]
    keys = {depot: (view.versioned_name, entity_key((depot,))) for depot in ("berlin", "lyon", "porto")}
    found = platform.online.read(keys.values())
    return {depot: found.get(key) for depot, key in keys.items()}


@pytest.mark.parametrize("hours", [2, 48], ids=["an older event", "no event"])
def test_a_withdrawn_event_leaves_the_online_store_and_recover_agrees(corrected, hours):
    platform, source = corrected
    before = online(platform)
    source.change("scans", without("depot", "berlin", END - hours * HOUR))
    ingest(platform, DAYS - 2, DAYS)
    after = online(platform)
    rest = {depot: row for depot, row in before.items() if depot != "berlin"}
    assert {depot: row for depot, row in after.items() if depot != "berlin"} == rest
    if hours == 48:
        assert after["berlin"] is None
    else:
        assert after["berlin"].event_time < END - hours * HOUR < before["berlin"].event_time
    name = platform.problem.views[0].versioned_name
    stale = {(name, entity_key(("berlin",))): before["berlin"]}
    platform.online.write(stale, {})  # as if the store had been lost, and an old copy of it had been put back
    restore(platform.problem, platform.tables, platform.online, platform.models, platform.releases, END)
    assert online(platform) == after


def test_a_correction_killed_between_steps_ends_as_if_it_was_not(corrected):
    platform, source = corrected
    source.change("scans", without("depot", "berlin", END - 2 * HOUR))
    run = platform.runner.start(FEATURE, FeatureParams(start=END - DAY, end=END), "killed")
    for step in ("extract", "validate", "ingest"):
        platform.runner.step(FEATURE, step, run)
    name = "raw.scans"
    known = platform.tables.read(name, versions=True).sort_by("scanned_at")
    platform.runner.step(FEATURE, "ingest", run)  # as after a kill between the commit and the record of the step
    assert list(platform.runner.output(FEATURE, "ingest", run).changed_at) == [name]
    platform.runner.run(FEATURE, run)
    assert platform.tables.read(name, versions=True).sort_by("scanned_at").equals(known)
    assert online(platform)["berlin"].event_time < END - 2 * HOUR


def test_a_key_used_on_another_day_is_refused_with_examples(corrected):
    platform, source = corrected
    before = versions(platform)
    first = source("parcels", HISTORY, HISTORY + DAY)["parcel_id"][0].as_py()
    again = source("parcels", END, END + DAY)["parcel_id"][0].as_py()
    source.change("parcels", with_value("parcel_id", first, "parcel_id", again))
    with pytest.raises(UserError, match=rf"parcels.parcel_id: must be unique.*'{first} of 2024-01-01"):
        ingest(platform, DAYS, DAYS + 1)
    assert versions(platform) == before


def test_a_key_that_two_runs_ingest_at_once_comes_only_once(corrected, monkeypatch):
    platform, source = corrected
    one, two = (source("parcels", END + n * DAY, END + (n + 1) * DAY)["parcel_id"][0].as_py() for n in (0, 1))
    source.change("parcels", with_value("parcel_id", one, "parcel_id", two))
    revise, other = Tables.revise, []

    def after_another_run(tables, name, *given):
        if name == "raw.parcels" and not other:
            other.append(None)
            other[0] = ingest(platform, DAYS, DAYS + 1)
        return revise(tables, name, *given)

    monkeypatch.setattr(Tables, "revise", after_another_run)
    with pytest.raises(UserError, match=rf"Another run ingested rows of parcels meanwhile:\n.*'{one} of 2024-"):
        ingest(platform, DAYS + 1, DAYS + 2)
    assert platform.tables.read("raw.parcels")["parcel_id"].to_pylist().count(one) == 1


def test_a_key_may_move_to_another_day_that_is_ingested_with_it(corrected):
    platform, source = corrected
    key = source("parcels", HISTORY, HISTORY + DAY)["parcel_id"][0].as_py()
    moved = source.problem.read("parcels", HISTORY, HISTORY + DAY).slice(0, 1)
    moved = moved.set_column(1, "asked_at", pa.array([HISTORY + 1.5 * DAY], moved["asked_at"].type))
    source.change("parcels", lambda rows: pa.concat_tables([without("parcel_id", key)(rows), moved]))
    source.change("deliveries", without("parcel_id", key))
    ingest(platform, 0, 2)
    rows = platform.tables.read("raw.parcels")
    assert rows.filter(pc.equal(rows["parcel_id"], key))["asked_at"].to_pylist() == [HISTORY + 1.5 * DAY]


def test_a_label_before_its_request_is_refused_with_examples(corrected):
    platform, source = corrected
    key = source("deliveries", END, END + DAY)["parcel_id"][40].as_py()
    source.change("deliveries", with_value("delivered_at", END + timedelta(seconds=1), "parcel_id", key))
    with pytest.raises(UserError, match=rf"a label must not come before its request in parcels.*'{key} of 2024"):
        ingest(platform, DAYS, DAYS + 1)


def told(platform, *arguments):
    given = {"RATCHET_HOME": str(platform.home), "RATCHET_PROBLEM": platform.problem.package}
    asked = CliRunner().invoke(app, ["data", "diff", *arguments], env=given, catch_exceptions=False)
    return asked.output


def counted(platform, *arguments):
    found = json.loads(told(platform, *arguments, "--json"))
    return {kind: found[kind] for kind in ("added", "withdrawn", "changed")}, found["changes"]


def test_data_diff_tells_what_was_added_withdrawn_and_changed(corrected):
    platform, source = corrected
    parcels = source("parcels", HISTORY, HISTORY + DAY)["parcel_id"].to_pylist()
    source.change("parcels", with_value("weight", 150.0, "parcel_id", parcels[0]))
    source.change("deliveries", without("parcel_id", parcels[1]))
    source.change("parcels", without("parcel_id", parcels[1]))
    platform.run("feature", FeatureParams(start=HISTORY, end=HISTORY + DAY), "correction")
    source.changes["parcels"].pop()
    platform.run("feature", FeatureParams(start=HISTORY, end=HISTORY + DAY), "undone")
    counts, changes = counted(platform, "parcels", "--run", "correction")
    assert counts == {"added": 0, "withdrawn": 1, "changed": 1}
    (change,) = (one for one in changes if one["kind"] == "changed")
    assert change["before"]["weight"] != change["after"]["weight"] == 150.0
    assert counted(platform, "parcels")[0] == {"added": 1, "withdrawn": 1, "changed": 1}
    nothing = {"added": 0, "withdrawn": 0, "changed": 0}
    assert counted(platform, "parcels", "--run", "history")[0] == nothing
    assert counted(platform, "parcels", "--until", "2024-01-01")[0] == nothing
    assert f"{change['before']['weight']} → 150.0" in "".join(told(platform, "parcels").split("\n"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parcel"], "there is no raw table 'parcel'"),
        (["parcels", "--run", "history", "--since", "2024-01-01"], "give --run, or --since and --until"),
        (["parcels", "--run", "never"], "run"),
    ],
)
def test_data_diff_says_what_it_was_not_given_right(corrected, arguments, message):
    platform, _ = corrected
    with pytest.raises(UserError, match=message):
        told(platform, *arguments)


class OnDuckDB(Athena):
    """Athena's join over the same tables, by DuckDB."""

    def __init__(self, tables):
        super().__init__(None, None, "", "", tables)
        self.given = {}

    def _at(self, name, snapshots):
        self.given[alias := name.replace(".", "__")] = self._tables.read(
            name, snapshot=snapshots.get(name), versions=True
        )
        return alias

    def query(self, sql):
        with session(**self.given) as connection:
            return connection.sql(sql).to_arrow_table()


def test_the_join_for_athena_reads_what_was_known_as_duckdb_does(corrected):
    platform, source = corrected
    key = next(key for key, row in frame(platform).items() if row["weight"] < 100)
    source.change("scans", lambda rows: rows.set_column(2, "queue", pc.add(rows["queue"], 100.0)))
    source.change("parcels", with_value("weight", 150.0, "parcel_id", key))
    source.change("parcels", with_value("depot", "porto", "parcel_id", key))
    ingest(platform, 14, DAYS, known_at=HISTORY + 16 * DAY)
    ours = frame(platform)
    joined = training_frame(platform.problem, platform.tables, OnDuckDB(platform.tables).lookup, END).to_pylist()
    assert {row["key"]: row for row in joined} == ours
    queues = [row["queue_now"] > 100 for row in ours.values() if row["event_time"] > HISTORY + 14.2 * DAY]
    assert 50 < sum(queues) < len(queues) - 50
