"""SQL over Arrow tables, by DuckDB in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import duckdb
import pyarrow as pa


@contextmanager
def session(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session on the given tables; the names are its own, and times of day are in UTC wherever we are."""
    with _database().cursor() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        yield connection


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return the process's in-memory database: opening one costs more than most queries here."""
    database = duckdb.connect()
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    return database
