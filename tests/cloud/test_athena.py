"""Athena's half: its SQL on Trino, which is Athena's engine, and what the client makes of Athena's answers.

Trino must run beforehand, with the Glue and S3 of an emulator as its Iceberg catalog; ``TRINO_URL`` says where, and
``AWS_ENDPOINT_URL`` where the emulator is: ``python -m tests.cloud.server PORT 127.0.0.1``. Both in eu-west-1.
"""

import os
import re
import time
from datetime import timedelta
from typing import Any

import boto3
import pyarrow as pa
import pytest
import trino
from botocore.stub import Stubber

from pipelines.adapters.aws.athena import Athena, maintenance
from pipelines.config import UserError
from pipelines.feature import FeatureParams, point_in_time
from pipelines.storage.ports import Unavailable
from pipelines.storage.tables import Tables
from pipelines.training.extract import training_frame
from tests.cloud.emulator import VARIABLES
from tests.cloud.provision import making
from tests.conftest import HISTORY, NOW, make_platform
from tests.problems import parcels


class OnTrino(Athena):
    """The same queries, sent to Trino."""

    def execute(self, sql: str) -> Any:
        at_once = {"iceberg.expire_snapshots_min_retention": "0s", "iceberg.remove_orphan_files_min_retention": "0s"}
        given = {"user": "test", "catalog": "iceberg", "session_properties": at_once}
        cursor = trino.dbapi.connect(host=self.host, port=self.port, **given).cursor()
        cursor.execute(sql)
        return cursor, cursor.fetchall()

    def query(self, sql: str) -> pa.Table:
        cursor, rows = self.execute(sql)
        names = [column[0] for column in cursor.description]
        return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


@pytest.fixture
def on_trino(monkeypatch, tmp_path):
    url = os.environ["TRINO_URL"].rpartition("//")[2]
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with making(boto3.Session(), os.environ["AWS_ENDPOINT_URL"]) as made:
        stack = made.stack()
        given = {"profile": "aws", "project": stack.project, "environment": stack.environment}
        platform = make_platform(tmp_path, **given)
        platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "history")
        engine = OnTrino(None, None, "primary", stack.store.lake, platform.tables)
        engine.host, _, port = url.partition(":")
        engine.port = int(port)
        yield platform, engine


@pytest.mark.athena
def test_the_join_on_trino_is_the_join_on_duckdb(on_trino, capsys):
    platform, engine = on_trino
    problem, tables = platform.problem, platform.tables
    names = ["raw.parcels", *(f"features.{view.versioned_name}" for view in problem.views)]
    snapshots = {name: tables.snapshot(name) for name in names}
    requests = tables.read("raw.parcels")
    views = [(view, tables.read(f"features.{view.versioned_name}")) for view in problem.views]
    started = time.perf_counter()
    theirs = engine.lookup(problem, snapshots, requests)
    seconds = time.perf_counter() - started
    ours = point_in_time.join(requests, "asked_at", views)
    assert theirs.num_rows == requests.num_rows > 5000
    features = [name for view in problem.views for name in view.features]
    for name in features:
        given, found = ours[name].to_pylist(), theirs[name].cast(ours[name].type).to_pylist()
        assert found == given, name
        assert sum(value is not None for value in found) > 5000, "there is something to compare"
    with capsys.disabled():
        rows = sum(view.num_rows for _, view in views)
        print(f"\n{len(requests)} requests x {rows} rows of {len(views)} views, equal; Trino took {seconds:.1f} s")  # noqa: T201


@pytest.mark.athena
def test_corrections_on_trino_join_as_they_were_known(on_trino, monkeypatch):
    platform, engine = on_trino
    problem, day = platform.problem, timedelta(days=1)
    tables = parcels._tables()
    longer = {**tables, "scans": tables["scans"].assign(queue=lambda rows: rows["queue"] + 100)}
    monkeypatch.setattr("tests.problems.parcels._tables", lambda: longer)
    given = {"start": NOW - 6 * day, "end": NOW, "known_at": NOW - 3 * day}
    platform.run("feature", FeatureParams(**given), "correction")
    ours, theirs = (
        training_frame(problem, platform.tables, lookup, NOW).sort_by("key") for lookup in (None, engine.lookup)
    )
    assert theirs.cast(ours.schema).to_pylist() == ours.to_pylist()
    corrected = [row["queue_now"] > 100 for row in ours.to_pylist() if row["event_time"] > NOW - 5 * day]
    assert 50 < sum(corrected) < len(corrected) - 50


@pytest.mark.athena
def test_an_earlier_snapshot_joins_as_it_was(on_trino):
    platform, engine = on_trino
    problem, tables = platform.problem, platform.tables
    names = ["raw.parcels", *(f"features.{view.versioned_name}" for view in problem.views)]
    before = {name: tables.snapshot(name) for name in names}
    requests = tables.read("raw.parcels")
    whole = engine.lookup(problem, before, requests)
    (view, *_) = problem.views
    name = f"features.{view.versioned_name}"
    tables.overwrite(name, tables.read(name).slice(0, 0), "event_time", HISTORY, NOW)
    assert engine.lookup(problem, before, requests).equals(whole)
    now = {**before, name: tables.snapshot(name)}
    assert engine.lookup(problem, now, requests)["queue_now"].null_count == requests.num_rows


ON_TRINO = (  # what OPTIMIZE and VACUUM are called there; Athena's VACUUM does the last two at once
    "ALTER TABLE {} EXECUTE optimize",
    "ALTER TABLE {} EXECUTE expire_snapshots(retention_threshold => '0s')",
    "ALTER TABLE {} EXECUTE remove_orphan_files(retention_threshold => '0s')",
)


@pytest.mark.athena
def test_upkeep_on_trino_leaves_the_rows_and_the_snapshots_that_are_pinned(on_trino):
    """Trino's equivalents: the same engine on the same tables, which stay what pyiceberg reads."""
    platform, engine = on_trino
    tables, name = platform.tables, "raw.scans"
    rows = tables.read(name)
    time_column = platform.problem.config.tables["scans"].event_time
    first, day = tables.snapshot(name), timedelta(days=1)
    for number in range(6):  # days that are written anew, each a snapshot and a small file
        start = HISTORY + number * day
        span = tables.read(name, time=time_column, start=start, end=start + day)
        tables.overwrite(name, span.slice(0, 0), time_column, start, start + day)
        tables.overwrite(name, span, time_column, start, start + day)
    unpinned = tables.snapshot(name)
    tables.pin({name: first}, "run-first")
    files = len(tables.files(name))
    for statement in ON_TRINO:
        engine.execute(statement.format(".".join(f'"{part}"' for part in tables.address(name))))
    order = [(column, "ascending") for column in rows.column_names]
    assert tables.read(name).sort_by(order).equals(rows.sort_by(order))
    assert tables.read(name, snapshot=first).num_rows == rows.num_rows
    with pytest.raises(ValueError, match="not found"):
        tables.read(name, snapshot=unpinned)
    assert len(tables.files(name)) < files


# ---- without Trino: what the client makes of what Athena says


@pytest.fixture
def stubbed():
    client = boto3.Session(region_name="eu-west-1", **_KEYS).client("athena")
    stub = Stubber(client)
    stub.activate()
    return Athena(client, None, "primary", "lake", None), stub


_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def says(stub, **status):
    stub.add_response("start_query_execution", {"QueryExecutionId": "q"})
    stub.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": "QUEUED"}}})
    stub.add_response("get_query_execution", {"QueryExecution": {"Status": status}})


def test_a_statement_is_waited_for(stubbed, monkeypatch):
    engine, stub = stubbed
    monkeypatch.setattr("pipelines.adapters.aws.athena._POLL_SECONDS", 0)
    says(stub, State="SUCCEEDED")
    engine.run("SELECT 1")
    stub.assert_no_pending_responses()


def test_a_query_that_failed_is_reported_with_its_reason(stubbed, monkeypatch):
    engine, stub = stubbed
    monkeypatch.setattr("pipelines.adapters.aws.athena._POLL_SECONDS", 0)
    says(stub, State="FAILED", StateChangeReason="line 1:8: no such column")
    with pytest.raises(UserError, match=r"line 1:8: no such column; the query was: SELECT x"):
        engine.run("SELECT x")


def test_one_that_failed_for_want_of_room_may_be_asked_again(stubbed, monkeypatch):
    engine, stub = stubbed
    monkeypatch.setattr("pipelines.adapters.aws.athena._POLL_SECONDS", 0)
    says(stub, State="FAILED", StateChangeReason="exhausted resources", AthenaError={"Retryable": True})
    with pytest.raises(Unavailable, match="exhausted resources"):
        engine.run("SELECT 1")


# The synopses of https://docs.aws.amazon.com/athena/latest/ug/optimize-statement.html and vacuum-statement.html, where
# a name may stand in backticks, and "double quotes will not work in place of backticks".
_NAME = r"([A-Za-z0-9][A-Za-z0-9_]*|`[A-Za-z0-9_]+`)"
OPTIMIZE = rf"OPTIMIZE ({_NAME}\.)?{_NAME} REWRITE DATA USING BIN_PACK( WHERE .+)?"
VACUUM = rf"VACUUM ([A-Za-z0-9][A-Za-z0-9_]*\.)?{_NAME}"


def test_a_table_is_compacted_and_freed_in_the_grammar_of_athena():
    compacted, freed = maintenance("parcels_raw", "scans_v2")
    assert re.fullmatch(OPTIMIZE, compacted) and re.fullmatch(VACUUM, freed)
    assert "parcels_raw.scans_v2" in compacted and "parcels_raw.scans_v2" in freed
    assert not re.fullmatch(VACUUM, 'VACUUM "parcels_raw"."scans"')  # what Trino takes, and we once sent


@pytest.fixture
def tables_named(monkeypatch):
    """An Athena whose tables have addresses, and which answers at once."""
    monkeypatch.setattr("pipelines.adapters.aws.athena._POLL_SECONDS", 0)
    client = boto3.Session(region_name="eu-west-1", **_KEYS).client("athena")
    with Stubber(client) as stub:
        yield Athena(client, None, "primary", "lake", Tables(dict, "parcels_")), stub


MORE = (
    "ICEBERG_VACUUM_MORE_RUNS_NEEDED: Removed 1000 files in this round of vacuum, but there are more files remaining."
)


def test_upkeep_that_athena_had_no_time_to_end_goes_on(tables_named):
    engine, stub = tables_named
    for status in ({"State": "SUCCEEDED"}, {"State": "FAILED", "StateChangeReason": MORE}, {"State": "SUCCEEDED"}):
        says(stub, **status)
    engine.maintain("raw.scans")
    stub.assert_no_pending_responses()


def test_upkeep_that_never_ends_is_left_for_the_next_time(tables_named, monkeypatch):
    engine, stub = tables_named
    monkeypatch.setattr("pipelines.adapters.aws.athena._MOST_RUNS", 2)
    says(stub, State="SUCCEEDED")
    for _ in range(2):
        says(stub, State="FAILED", StateChangeReason=MORE)
    engine.maintain("raw.scans")
    stub.assert_no_pending_responses()


def test_upkeep_that_fails_for_another_reason_is_reported(tables_named):
    engine, stub = tables_named
    says(stub, State="FAILED", StateChangeReason="TABLE_NOT_FOUND")
    with pytest.raises(UserError, match="TABLE_NOT_FOUND"):
        engine.maintain("raw.scans")
