"""Turns the names of a file's columns, and of a problem, into valid ones."""

import re
import unicodedata
from collections.abc import Sequence

from pipelines.storage.sql import session

# Names that the engine gives to columns of its own beside those of a request.
_OWN = {"asked", "effective_time", "event_time", "key", "known_at", "label", "outcomes", "position", "prediction"}

_LONGEST = 40  # characters


def clean(given: Sequence[str]) -> list[str]:
    """Return a valid, unique name for each column: lower case, ASCII, no keyword of SQL and no name of the engine's."""
    reserved = _OWN | _sql_words()
    names: list[str] = []
    for number, text in enumerate(given, 1):
        name = snake(text)[:_LONGEST].strip("_") or f"column_{number}"
        if not name[0].isalpha():
            name = f"column_{name}"
        if name in reserved:
            name = f"{name}_column"
        names.append(unlike(name, names))
    return names


def snake(text: str) -> str:
    """Return a text as words of ASCII letters and digits with underscores between; empty when it has none."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def unlike(name: str, taken: Sequence[str] | set[str]) -> str:
    """Return the name, with the first number that makes it unique if it is taken."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _sql_words() -> set[str]:
    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    with session() as connection:
        return {word for (word,) in connection.execute(query).fetchall()}
