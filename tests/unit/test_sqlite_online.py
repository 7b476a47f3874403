"""How SQLite answers the online store's query."""

from pipelines.adapters.local.online import SqliteOnline, select


def test_a_read_searches_for_its_keys_and_never_scans_the_table(tmp_path):
    store = SqliteOnline(tmp_path / "online.db")
    plan = store._connection.execute(f"EXPLAIN QUERY PLAN {select(3)}", ["v", "a"] * 3).fetchall()
    steps = [step for *_, step in plan]
    assert "SEARCH latest USING PRIMARY KEY (view=? AND entity=?)" in steps
    assert not any(step.startswith("SCAN latest") for step in steps)
