"""How SQLite answers the online store's query."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from pipelines.adapters.local.online import SqliteOnline, select
from pipelines.storage.ports import OnlineRow, Unavailable

KEY, NOW = ("v", "a"), datetime(2024, 1, 1, tzinfo=UTC)


def test_a_read_searches_for_its_keys_and_never_scans_the_table(tmp_path):
    store = SqliteOnline(tmp_path / "online.db")
    plan = store._connection.execute(f"EXPLAIN QUERY PLAN {select(3)}", ["v", "a"] * 3).fetchall()
    steps = [step for *_, step in plan]
    assert "SEARCH latest USING PRIMARY KEY (view=? AND entity=?)" in steps
    assert not any(step.startswith("SCAN latest") for step in steps)


def test_a_missing_store_is_an_error_and_its_replacement_is_read(tmp_path):
    store = SqliteOnline(tmp_path / "online.db")
    with pytest.raises(Unavailable, match=r"The online store cannot be read \(No such file"):
        store.read([KEY])
    SqliteOnline(store.path).write({KEY: OnlineRow(NOW, (1.0,))}, {})
    assert store.read([KEY])[KEY].values == (1.0,)
    SqliteOnline(tmp_path / "new.db").write({KEY: OnlineRow(NOW, (2.0,))}, {})
    for path in tmp_path.glob("online.db*"):
        path.unlink()
    with pytest.raises(Unavailable):
        store.read([KEY])
    assert not store.path.exists()
    for path in tmp_path.glob("new.db*"):
        path.rename(tmp_path / path.name.replace("new", "online"))
    assert store.read([KEY])[KEY].values == (2.0,)


def test_a_store_that_is_locked_whole_is_reported_within_seconds(tmp_path):
    store = SqliteOnline(tmp_path / "online.db")
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="database is locked"):
            store.read([KEY])


def test_more_entities_than_a_statement_has_room_for_are_read(tmp_path):
    online = SqliteOnline(tmp_path / "online.db")
    online.write({("view", f"entity {number}"): OnlineRow(NOW, (float(number),)) for number in range(0, 40_000, 4)}, {})
    found = online.read(("view", f"entity {number}") for number in range(40_000))
    assert len(found) == 10_000
    assert found["view", "entity 39996"].values == (39996.0,)
