"""Keeps the addresses in MLflow's SQLite database true after its folder was moved or copied.

MLflow stores the absolute address of each run's artifacts, and has no call to change it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The tables and columns of MLflow 3 that hold addresses of artifacts."""


def follow_move(database: Path, artifacts: str) -> None:
    """Make the addresses in a database begin with ``artifacts``, where experiments have another one.

    One transaction, so it may be killed at any time; nothing happens where the database does not exist yet.
    """
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return
        found = connection.execute("SELECT DISTINCT artifact_location FROM experiments WHERE experiment_id != 0")
        for (old,) in found.fetchall():
            if old != artifacts:
                for table, column in _ADDRESSES:
                    connection.execute(
                        f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1) "
                        f"WHERE {column} = :old OR substr({column}, 1, :length + 1) = :old || '/'",
                        {"new": artifacts, "old": old, "length": len(old)},
                    )
