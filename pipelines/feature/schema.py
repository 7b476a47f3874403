"""Tables as they are stored against the columns that problem.toml declares: what follows by itself, what is migrated.

New columns and wider types follow with the next ingest. A column that is not declared any more stays, unread. Names and
types change by ``mlops data migrate``, in one commit for each table. What a table's rows cannot have is refused.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Column, Problem, RawTable, UserError, reserved
from pipelines.feature.conversion import declared
from pipelines.storage.tables import ARROW_TYPES, Stored, Tables

COMMAND = "mlops data migrate"
_WIDER = {pa.int32(): pa.int64(), pa.float32(): pa.float64()}


class ChangeKind(StrEnum):
    """What happens to a column. The last three do not follow by themselves."""

    ADD = "add"
    WIDEN = "widen"
    KEEP = "keep"
    RENAME = "rename"
    RETYPE = "retype"
    REFUSE = "refuse"


_FOLLOWS = (ChangeKind.ADD, ChangeKind.WIDEN, ChangeKind.KEEP)


class ColumnChange(NamedTuple):
    """A column that is stored otherwise than it is declared; ``says`` is what that means, for people."""

    table: str
    column: str
    kind: ChangeKind
    says: str


def changes(table: str, contract: RawTable, stored: Stored) -> list[ColumnChange]:
    """Return what is declared otherwise than a table is stored; ``table`` is its name for people."""
    found, columns = [], contract.columns
    if stored.time and stored.time not in (contract.event_time, reserved.QUARANTINE[0]):
        says = (
            f"its rows are stored by {stored.time!r}, and the event time is {contract.event_time!r} now; "
            "ingest the days into a table of another name"
        )
        found.append(ColumnChange(table, contract.event_time, ChangeKind.REFUSE, says))
    for name, column in columns.items():
        former = column.renamed_from if name not in stored.columns else None
        kind, wanted = stored.columns.get(former or name), _kind(column)
        if kind is None:
            found.append(_added(table, name, column, stored))
            continue
        if former:
            found.append(ColumnChange(table, name, ChangeKind.RENAME, f"stored as {former!r}"))
        if _WIDER.get(kind) == wanted and not former:
            found.append(ColumnChange(table, name, ChangeKind.WIDEN, f"stored as {kind}, becomes {wanted}"))
        elif kind != wanted and name == contract.event_time:
            says = f"it is the event time and stored as {kind}; ingest the days into a table of another name"
            found.append(ColumnChange(table, name, ChangeKind.REFUSE, says))
        elif kind != wanted:
            found.append(
                ColumnChange(table, name, ChangeKind.RETYPE, f"stored as {_type(kind)}, declared {column.type}")
            )
    known = {*columns, *(column.renamed_from for column in columns.values()), *reserved.RAW, *reserved.QUARANTINE}
    for name in stored.columns:
        if name not in known:
            says = "not declared any more: it stays in the rows that have it, and is not read"
            found.append(ColumnChange(table, name, ChangeKind.KEEP, says))
    return found


def _added(table: str, name: str, column: Column, stored: Stored) -> ColumnChange:
    if not stored.rows or column.nullable:
        return ColumnChange(table, name, ChangeKind.ADD, "older rows have null")
    if column.default is not None:
        return ColumnChange(table, name, ChangeKind.ADD, f"older rows have the default, {column.default!r}")
    says = (
        f"new and required, and {stored.rows:,} rows are older; declare it 'nullable = true', "
        "give older rows a 'default', or say what it is 'renamed_from'"
    )
    return ColumnChange(table, name, ChangeKind.REFUSE, says)


def plan(problem: Problem, tables: Tables) -> list[ColumnChange]:
    """Return what is declared otherwise than it is stored, of the quarantines and of all raw tables."""
    found = []
    for address, contract in _addresses(problem):
        stored = tables.stored(address)
        mine = changes(address.removeprefix("raw."), contract, stored) if stored else []
        quarantined = not address.startswith("raw.")  # which takes any row, so new columns are no matter
        found += [one for one in mine if not quarantined or one.kind in (ChangeKind.RENAME, ChangeKind.RETYPE)]
    return found


def follow(problem: Problem, tables: Tables) -> None:
    """Let the tables follow what is declared.

    Raises:
        UserError: when names or types must be migrated, or rows cannot have what is declared; then nothing changes.
    """
    refuse(change for change in plan(problem, tables) if change.kind not in _FOLLOWS)
    for name, contract in problem.config.tables.items():
        tables.evolve(f"raw.{name}", _schema(contract))


def refuse(found: Iterable[ColumnChange]) -> None:
    """Raise a UserError that tells what must change before rows can be written, if there is anything."""
    found = list(found)
    if not found:
        return
    lines = [f"  {change.table}.{change.column}: {change.says}" for change in found]
    todo = (
        "ColumnChange problem.toml" if any(change.kind is ChangeKind.REFUSE for change in found) else f"Run '{COMMAND}'"
    )
    raise UserError("\n".join(["The tables are stored otherwise than problem.toml declares:", *lines, f"{todo}."]))


def migrate(problem: Problem, tables: Tables) -> None:
    """Rename and retype what is declared otherwise, a table after the other; run it again where it was stopped.

    Raises:
        UserError: when rows cannot have what is declared, or values cannot be read in their new types, with examples;
            then that table stays as it is.
    """
    found = plan(problem, tables)
    refuse(change for change in found if change.kind is ChangeKind.REFUSE)
    for address, contract in _addresses(problem):
        mine = [change for change in found if change.table == address.removeprefix("raw.")]
        columns = contract.columns
        renamed = {columns[one.column].renamed_from or "": one.column for one in mine if one.kind is ChangeKind.RENAME}
        retyped = {one.column: _kind(columns[one.column]) for one in mine if one.kind is ChangeKind.RETYPE}
        if renamed or retyped:
            convert = partial(_retyped, address, {name: columns[name] for name in retyped})
            tables.migrate(address, renamed, retyped, convert)


def _retyped(address: str, columns: Mapping[str, Column], rows: pa.Table) -> pa.Table:
    """Return rows with some columns in their declared types."""
    converted = declared(address, rows, columns)
    for name in columns:
        rows = rows.set_column(rows.column_names.index(name), name, converted[name])
    return rows


def read(
    tables: Tables,
    name: str,
    contract: RawTable,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    snapshot: int | None = None,
    columns: Iterable[str] = ("*",),
    versions: bool = False,
) -> pa.Table:
    """Return the rows of ``[start, end)`` of a raw table as they are declared; see :meth:`Tables.read`.

    Raises:
        DataError: when the values of an older snapshot cannot be read as what is declared now.
    """
    wanted = {*contract.columns} if {*columns} == {"*"} else {*columns}
    former = {contract.columns[one].renamed_from or one for one in wanted if one in contract.columns}
    asked = wanted | former | {*reserved.RAW}
    rows = tables.read(
        f"raw.{name}", time=contract.event_time, start=start, end=end,
        snapshot=snapshot, columns=asked, versions=versions,
    )  # fmt: skip
    return as_declared(f"raw.{name}", rows, {one: column for one, column in contract.columns.items() if one in wanted})


def as_declared(where: str, rows: pa.Table, columns: Mapping[str, Column]) -> pa.Table:
    """Return stored rows with the declared columns, and after these the engine's own where the rows have them.

    Rows that are older than a column have its default, or null. ``where`` names the rows in errors.
    """
    stored = {name: name if name in rows.column_names else columns[name].renamed_from or name for name in columns}
    arrays = {name: rows[old] for name, old in stored.items() if old in rows.column_names}
    other = {name: column for name, column in columns.items() if name in arrays and arrays[name].type != _kind(column)}
    if other:
        known = declared(where, pa.table({name: arrays[name] for name in other}), other)
        arrays |= {name: known[name] for name in other}
    for name, column in columns.items():
        values = arrays.setdefault(name, pa.chunked_array([pa.nulls(rows.num_rows, _kind(column))]))
        if column.default is not None:
            arrays[name] = pc.fill_null(values, pa.scalar(column.default, _kind(column)))
    own = {name: rows[name] for name in rows.column_names if name in reserved.RAW}
    return pa.table({name: arrays[name] for name in columns} | own)


def _addresses(problem: Problem) -> list[tuple[str, RawTable]]:
    raw = problem.config.tables.items()
    return [(f"{namespace}.{name}", contract) for namespace in ("quarantine", "raw") for name, contract in raw]


def _schema(contract: RawTable) -> pa.Schema:
    return pa.schema([(name, _kind(column)) for name, column in contract.columns.items()])


def _kind(column: Column) -> pa.DataType:
    return ARROW_TYPES[column.type]


def _type(kind: pa.DataType) -> str:
    return next((name for name, one in ARROW_TYPES.items() if one == kind), str(kind))
