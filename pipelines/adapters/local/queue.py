"""A queue as one SQLite file."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from pipelines.storage.ports import Depth, Message


class SqliteQueue:
    """Implements :class:`pipelines.storage.ports.Queue`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def send(self, body: bytes) -> None:
        """See the port."""
        with closing(self._connect()) as connection, connection:
            connection.execute("INSERT INTO messages (body) VALUES (?)", (body,))

    def receive(self, limit: int = 100) -> Sequence[Message]:
        """See the port."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT id, body FROM messages ORDER BY id LIMIT ?", (limit,))
            return [Message(str(number), body) for number, body in rows]

    def delete(self, receipts: Iterable[str]) -> None:
        """See the port."""
        with closing(self._connect()) as connection, connection:
            connection.executemany("DELETE FROM messages WHERE id = ?", [(int(receipt),) for receipt in receipts])

    def depth(self) -> Depth:
        """See the port; nothing is ever given up here."""
        with closing(self._connect()) as connection:
            (waiting,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        return Depth(waiting, 0)

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)"
        )
        return connection
