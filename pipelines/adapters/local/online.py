"""The online store as one SQLite file."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.storage.ports import NONE_WITHDRAWN, OnlineRow, Unavailable

_AT_ONCE = 10_000  # pairs of parameters, of which SQLite takes 32,766
_READ_SECONDS = 1  # readers wait for no writer, only while a lock is exclusive, and the app must go on meanwhile
_UNSHARED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # no room for what readers share
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS latest (
    view TEXT NOT NULL, entity TEXT NOT NULL, event_time INTEGER NOT NULL, "values" TEXT NOT NULL,
    PRIMARY KEY (view, entity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complete (view TEXT PRIMARY KEY, as_of INTEGER NOT NULL) WITHOUT ROWID;
"""
_UPSERT = """
INSERT INTO latest VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET event_time = excluded.event_time,
"values" = excluded."values" WHERE excluded.event_time >= latest.event_time
"""
_COMPLETE = """
INSERT INTO complete VALUES (?, ?) ON CONFLICT DO UPDATE SET as_of = max(as_of, excluded.as_of)
"""


@lru_cache(maxsize=256)
def select(count: int) -> str:
    """Return the query for the rows of some keys: a join in this order, because SQLite answers IN by a full scan."""
    places = ",".join(["(?,?)"] * count)
    return f"""
        WITH wanted(view, entity) AS (VALUES {places})
        SELECT view, entity, event_time, "values" FROM wanted CROSS JOIN latest USING (view, entity)"""


class SqliteOnline:
    """Implements :class:`~pipelines.storage.ports.OnlineStore`: many readers, one writer at a time."""

    remote = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def write(
        self,
        rows: Mapping[tuple[str, str], OnlineRow],
        as_of: Mapping[str, datetime],
        withdrawn: Mapping[tuple[str, str], Collection[datetime]] = NONE_WITHDRAWN,
    ) -> None:
        """See the port."""
        encoded = [(*key, _micros(row.event_time), json.dumps(row.values)) for key, row in rows.items()]
        gone = [(*key, _micros(time)) for key, times in withdrawn.items() for time in times]
        with self._connection as connection:  # one transaction
            connection.executemany("DELETE FROM latest WHERE view = ? AND entity = ? AND event_time = ?", gone)
            connection.executemany(_UPSERT, encoded)
            connection.executemany(_COMPLETE, [(view, _micros(moment)) for view, moment in as_of.items()])

    def forget(self, view: str) -> None:
        """See the port."""
        with self._connection as connection:
            connection.execute("DELETE FROM complete WHERE view = ?", [view])
            connection.execute("DELETE FROM latest WHERE view = ?", [view])

    def read(self, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], OnlineRow]:
        """See the port."""
        pairs = list(wanted)
        found = (row for first in range(0, len(pairs), _AT_ONCE) for row in self._rows(pairs[first : first + _AT_ONCE]))
        return {(view, entity): _row(time, values) for view, entity, time, values in found}

    def as_of(self, view: str) -> datetime | None:
        """See the port."""
        if not self.path.exists():
            return None
        rows = self._found("SELECT as_of FROM complete WHERE view = ?", [view])
        return _time(rows[0][0]) if rows else None

    def _rows(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str, int, str]]:
        return self._found(select(len(pairs)), [part for pair in pairs for part in pair])

    def _found(self, query: str, given: list[str]) -> list[Any]:
        try:
            try:
                return self._reader.execute(query, given).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _UNSHARED or self._has_log():
                    raise
                return self._frozen_rows(query, given)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"The online store cannot be read ({_reason(error)}); ask again later.") from error

    def _has_log(self) -> bool:
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.exists() and log.stat().st_size > 0

    def _frozen_rows(self, query: str, given: list[str]) -> list[Any]:
        """Read a file that cannot be opened to share it, as on a full disk, where nobody can write it either.

        SQLite makes a small file beside it for those who share it; without a log of writes the file is complete.
        """
        uri = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as reader:
            return reader.execute(query, given).fetchall()

    @property
    def _reader(self) -> sqlite3.Connection:
        """This thread's connection to the current file, also after the file was replaced."""
        there = self.path.stat()
        file = there.st_dev, there.st_ino
        if getattr(self._local, "file", None) != file:
            reader = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=rw", uri=True, timeout=_READ_SECONDS)
            self._local.reader, self._local.file = reader, file
        return self._local.reader  # type: ignore[no-any-return]

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            self._local.connection = connection
        return self._local.connection  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    return error.strerror or "" if isinstance(error, OSError) else str(error)


@lru_cache(maxsize=16_384)
def _row(time: int, values: str) -> OnlineRow:
    """Return a row from its text; cached, because many requests read the same rows."""
    return OnlineRow(_time(time), tuple(json.loads(values)))


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
