"""Entities as text: the one encoding in which views, the join, and the online store know them.

A string is itself, an integer its digits, a boolean ``true`` or ``false``; a missing one is null, and finds nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.config import Column
from pipelines.feature.conversion import converted
from pipelines.feature.request import Columns

_BETWEEN, _ESCAPE = "\x1f", "\x1e"  # ASCII's unit and record separators, which identifiers lack


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return entity values of a table as text."""
    return converted(values, "string")


def with_text(rows: pa.Table, entities: Iterable[str]) -> pa.Table:
    """Return a table with these entity columns as text."""
    for name in entities:
        if rows.schema.field(name).type != pa.string():
            rows = rows.set_column(rows.column_names.index(name), name, as_text(rows[name]))
    return rows


def entity_keys(entity: Sequence[str], fields: Columns, schema: Mapping[str, Column]) -> list[str | None]:
    """Return the online key of each request, as :func:`entity_key` of a view's row."""
    columns = [_texts(fields[name].tolist(), schema[name].type) for name in entity]
    return [entity_key(values) for values in zip(*columns, strict=True)]


def entity_key(values: Sequence[str | None]) -> str | None:
    """Return the key of an entity, by its values as text, in the online store; None when one is missing."""
    if len(values) == 1:
        return values[0]
    known = [_escaped(value) for value in values if value is not None]
    return _BETWEEN.join(known) if len(known) == len(values) else None


def _texts(values: list[Any], kind: str) -> list[str | None]:
    """Return the values of a request field as text; numbers and booleans are floats there, NaN where missing."""
    if kind == "string":
        return values
    if kind == "boolean":
        return [None if value != value else "true" if value else "false" for value in values]  # noqa: PLR0124  (NaN)
    return [None if value != value else str(int(value)) for value in values]  # noqa: PLR0124  (NaN)


def _escaped(text: str) -> str:
    """Return text without the separator, so that no two entities have one key."""
    if _BETWEEN not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, f"{_ESCAPE}0").replace(_BETWEEN, f"{_ESCAPE}1")
