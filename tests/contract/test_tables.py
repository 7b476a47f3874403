from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipelines.config import Column, RawTable, UserError
from pipelines.feature import knowledge
from pipelines.storage.tables import TIMESTAMP

START = datetime(2024, 1, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = {"time": Column(type="timestamp"), "value": Column(type="float", nullable=True)}
CONTRACT = RawTable(description="", event_time="time", columns=COLUMNS)


def rows(day, *values):
    times = [START + day * DAY + timedelta(minutes=number) for number in range(len(values))]
    return pa.table({"time": pa.array(times, TIMESTAMP), "value": pa.array(values, pa.float64())})


def unchecked():
    """Let all rows come."""


def write(tables, day, *values):
    return tables.overwrite("raw.t", rows(day, *values), "time", START + day * DAY, START + (day + 1) * DAY)


def test_the_same_day_twice_is_the_same_data_version(tables):
    first = write(tables, 0, 1.0, 2.0)
    assert write(tables, 0, 1.0, 2.0) == first
    assert tables.read("raw.t").num_rows == 2


def test_a_corrected_day_replaces_that_day_alone(tables):
    write(tables, 0, 1.0, 2.0)
    before = write(tables, 1, 3.0)
    after = write(tables, 0, 9.0)
    assert after != before
    assert tables.read("raw.t").sort_by("time")["value"].to_pylist() == [9.0, 3.0]


def test_an_earlier_snapshot_still_reads_as_it_was(tables):
    before = write(tables, 0, 1.0)
    write(tables, 0, 2.0)
    assert tables.read("raw.t", snapshot=before)["value"].to_pylist() == [1.0]


def test_a_span_crosses_months_and_excludes_its_end(tables):
    for day in range(4):
        write(tables, day, float(day))
    read = tables.read("raw.t", time="time", start=START + DAY, end=START + 3 * DAY)
    assert sorted(read["value"].to_pylist()) == [1.0, 2.0]


def test_a_day_that_became_empty_is_emptied(tables):
    write(tables, 0, 1.0)
    tables.overwrite("raw.t", rows(0), "time", START, START + DAY)
    assert tables.read("raw.t").num_rows == 0


def test_a_table_that_never_had_rows_does_not_exist(tables):
    assert tables.overwrite("raw.t", rows(0), "time", START, START + DAY) is None
    assert tables.snapshot("raw.t") is None
    with pytest.raises(UserError, match=r"no table 'raw.t' yet"):
        tables.read("raw.t")


def test_a_pinned_snapshot_can_be_pinned_again(tables):
    snapshot = write(tables, 0, 1.0)
    tables.pin({"raw.t": snapshot}, "run-1")
    tables.pin({"raw.t": snapshot}, "run-1")
    assert tables.read("raw.t", snapshot=snapshot).num_rows == 1


def test_writers_of_different_days_at_once_lose_nothing(tables, new_tables):
    write(tables, 0, 0.0)

    def one(day):
        return write(new_tables(), day, float(day))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(1, 5)))
    assert sorted(tables.read("raw.t")["value"].to_pylist()) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_snapshots_are_pinned_while_others_write(tables, new_tables):
    snapshot = write(tables, 0, 0.0)

    def pin(run):
        new_tables().pin({"raw.t": snapshot}, f"run-{run}")

    def ingest(day):
        write(new_tables(), day, float(day))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, number) for number in range(1, 5) for work in (pin, ingest)]
    for one in running:
        one.result()
    assert {f"run-{run}" for run in range(1, 5)} <= set(tables._table("raw.t").refs())
    assert tables.read("raw.t").num_rows == 5


def test_the_same_empty_day_by_several_writers_at_once_is_there_once(tables, new_tables):
    write(tables, 0, 0.0)

    def one(_):
        return write(new_tables(), 1, 1.0, 2.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert sorted(tables.read("raw.t")["value"].to_pylist()) == [0.0, 1.0, 2.0]


def test_a_correction_by_several_writers_at_once_is_made_once(tables, new_tables):
    write(tables, 0, 0.0)

    def one(_):
        return write(new_tables(), 0, 5.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert tables.read("raw.t")["value"].to_pylist() == [5.0]


@pytest.mark.parametrize("values", [(), (float("nan"), 1.0)])
def test_nothing_new_is_no_new_data_version(tables, values):
    write(tables, 0, 0.0)
    first = write(tables, 1, *values)
    assert write(tables, 1, *values) == first


def test_a_table_of_an_earlier_release_takes_versions_with_its_next_ingest(tables):
    before = write(tables, 0, 1.0, 2.0)
    assert tables.read("raw.t", versions=True)["known_until"].null_count == 2
    knowledge.ingest(tables, "raw.t", rows(0, 1.0, 3.0), CONTRACT, START, START + DAY, START + 5 * DAY, unchecked)
    assert sorted(tables.read("raw.t")["value"].to_pylist()) == [1.0, 3.0]
    assert sorted(tables.read("raw.t", snapshot=before)["value"].to_pylist()) == [1.0, 2.0]
    versions = tables.read("raw.t", versions=True)
    assert knowledge.moments(versions) == [START + 5 * DAY]
    assert sorted(knowledge.known_at(versions, START + 4 * DAY)["value"].to_pylist()) == [1.0, 2.0]
    again = knowledge.ingest(
        tables, "raw.t", rows(0, 1.0, 3.0), CONTRACT, START, START + DAY, START + 6 * DAY, unchecked
    )
    assert again == (tables.snapshot("raw.t"), None)


def test_a_table_takes_columns_up_and_old_rows_have_null(tables):
    before = write(tables, 0, 1.0)
    tables.evolve("raw.t", pa.schema([("time", TIMESTAMP), ("value", pa.float64()), ("note", pa.string())]))
    assert tables.read("raw.t")["note"].to_pylist() == [None]
    assert tables.read("raw.t", snapshot=before, columns=("value", "note")).column_names == ["value"]
    more = rows(1, 2.0).append_column("note", [["new"]])
    tables.overwrite("raw.t", more, "time", START + DAY, START + 2 * DAY)
    assert tables.read("raw.t").sort_by("time")["note"].to_pylist() == [None, "new"]
    write(tables, 2, 3.0)
    assert tables.read("raw.t").sort_by("time")["note"].to_pylist() == [None, "new", None]
    assert (tables.stored("raw.t").time, tables.stored("raw.t").rows) == ("time", 3)


def test_a_renamed_column_has_its_new_name_in_every_snapshot(tables):
    before = write(tables, 0, 1.0)
    tables.migrate("raw.t", {"value": "amount"}, {}, lambda given: given)
    tables.migrate("raw.t", {"amount": "total"}, {}, lambda given: given)
    assert tables.read("raw.t")["total"].to_pylist() == [1.0]
    assert tables.read("raw.t", snapshot=before, columns=("total",))["total"].to_pylist() == [1.0]
    assert tables.stored_names("raw.t", before) == {"time": "time", "total": "value"}


def test_a_retyped_column_has_its_new_type_and_old_snapshots_the_old_one(tables):
    before = write(tables, 0, 1.0, 2.5)
    write(tables, 1, 3.0)

    def as_text(given):
        return given.set_column(1, "amount", given["amount"].cast(pa.string()))

    tables.migrate("raw.t", {"value": "amount"}, {"amount": pa.string()}, as_text)
    assert tables.read("raw.t").sort_by("time")["amount"].to_pylist() == ["1", "2.5", "3"]
    assert tables.read("raw.t", snapshot=before)["value"].to_pylist() == [1.0, 2.5], "its name goes with its type"


def test_a_migration_that_fails_leaves_the_table_as_it_was(tables):
    write(tables, 0, 1.0)
    snapshot = tables.snapshot("raw.t")

    def fails(_given):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.migrate("raw.t", {"value": "amount"}, {"amount": pa.string()}, fails)
    assert tables.stored("raw.t").columns == {"time": TIMESTAMP, "value": pa.float64()}
    assert tables.snapshot("raw.t") == snapshot
