"""Iceberg tables: raw rows and feature views, versioned by snapshot, the same code on every profile."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config.errors import UserError
from pipelines.storage.commits import AnotherLook, told
from pipelines.storage.ports import Unavailable

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.io import FileIO
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

TIMESTAMP = pa.timestamp("us", tz="UTC")
ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "float": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
}
"""The Arrow type of each column type in ``problem.toml``."""

KNOWN_FROM, KNOWN_UNTIL = "known_from", "known_until"
"""The columns of a row's version: from when it was known (null: since it happened), and until when (null: still)."""


class Stored(NamedTuple):
    """A table as it is stored: the type of each column, the column of its partitions, and how many rows it has."""

    columns: Mapping[str, pa.DataType]
    time: str
    rows: int


Conversion = Callable[[pa.Table], pa.Table]

Revision = Callable[[pa.Table, Mapping[str, str]], tuple[pa.Table, Mapping[str, str]]]
"""From a span's rows and the table's properties to the rows that the span is to have, and properties to set."""

# pyiceberg writes a manifest for each commit; without merging, planning slows down with every commit.
_PROPERTIES = {
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "8",
    "commit.retry.num-retries": "0",  # it would repeat a write that the other process may have made needless
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
}


class Tables:
    """Tables of rows with a time column, partitioned by its month, in an Iceberg catalog.

    ``load`` opens the catalog; ``prefix`` is what its namespaces begin with, where others share it.
    """

    def __init__(self, load: "Callable[[], Catalog]", prefix: str = "") -> None:
        self._load, self._prefix = load, prefix

    @told
    def overwrite(self, name: str, rows: pa.Table, time: str, start: datetime, end: datetime) -> int | None:
        """Make ``rows`` the content of ``[start, end)`` of a table, in one commit, and return the current snapshot.

        Rows that are there already make no new snapshot, so writing the same days twice leaves the data version as
        it was. When another process writes meanwhile, or it is not known whether a write succeeded, what is there
        is looked at again.

        Raises:
            Unavailable: when the catalog does not say, time and again, whether a write succeeded.
        """
        return self.revise(name, rows.schema, time, start, end, lambda _present, _properties: (rows, {}))

    @told
    def revise(
        self, name: str, schema: pa.Schema, time: str, start: datetime, end: datetime, revision: Revision
    ) -> int | None:
        """Make what ``revision`` returns the content of ``[start, end)``, in one commit; else as :meth:`overwrite`.

        It is given every version of the rows that are there, with the columns of ``schema``, which is that of the
        rows it returns. When another process writes meanwhile it is asked again.
        """
        table = self._table(name)
        if table is None:
            rows, _ = revision(schema.empty_table(), {})
            if not rows.num_rows:
                return None
            table = self._create(name, schema, time)
        span, another_look = _between(time, start, end), AnotherLook()
        while True:
            with another_look:
                _evolve(table, schema)
                present = _versioned(_plain(table.scan(row_filter=span).to_arrow()), schema)
                rows, properties = revision(present, table.properties)
                if not _same_rows(present, rows):
                    with table.transaction() as commit:
                        if present.num_rows:
                            commit.overwrite(rows.sort_by(time), overwrite_filter=span)
                        else:
                            commit.append(rows.sort_by(time))
                        commit.set_properties(dict(properties))
                elif any(table.properties.get(key) != value for key, value in properties.items()):
                    with table.transaction() as commit:
                        commit.set_properties(dict(properties))
                return _current(table)
            table.refresh()

    @told
    def read(
        self,
        name: str,
        *,
        time: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        snapshot: int | None = None,
        columns: Iterable[str] = ("*",),
        versions: bool = False,
    ) -> pa.Table:
        """Return the rows of ``[start, end)`` that are known now, of the given snapshot or the current one.

        With ``versions`` every version of them, with the columns ``known_from`` and ``known_until``. Columns have the
        names that they have now, also where the snapshot is from before a renaming; those that it lacks are left out.

        Raises:
            UserError: when the table does not exist.
            Unavailable: when its files cannot be read.
        """
        table = self._table(name)
        if table is None:
            raise UserError(f"there is no table {name!r} yet; run 'mlops run feature' for the days you need")
        named, wanted = _names(table, snapshot), {*columns}
        fields = ("*",) if wanted == {"*"} else tuple(stored for now, stored in named.items() if now in wanted)
        scan = table.scan(selected_fields=fields, snapshot_id=snapshot)
        if time is not None:
            scan = scan.filter(_between(time, start, end))
        now = {stored: name for name, stored in named.items()}
        rows = _plain((scan if versions else _known_now(table, scan, snapshot)).to_arrow())
        rows = rows.rename_columns([now[stored] for stored in rows.column_names])
        if versions:
            return _with_version_columns(rows)
        return rows.drop_columns([name for name in (KNOWN_FROM, KNOWN_UNTIL) if name in rows.column_names])

    @told
    def among(self, name: str, columns: Iterable[str], column: str, values: pa.ChunkedArray) -> pa.RecordBatchReader:
        """Return some columns of the rows that are known now, a batch at a time.

        Those rows are left out whose ``column`` lies outside the range of ``values``, of which there is one at least.
        """
        from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

        span = pc.min_max(values).as_py()
        where = And(
            GreaterThanOrEqual(term=column, value=_literal(span["min"])),
            LessThanOrEqual(term=column, value=_literal(span["max"])),
        )
        table = self._table(name)
        if table is None:
            raise UserError(f"there is no table {name!r} yet; run 'mlops run feature' for the days you need")
        scan = table.scan(selected_fields=tuple(columns), row_filter=where)
        return _known_now(table, scan, None).to_arrow_batch_reader()

    def files(self, name: str, snapshot: int | None = None) -> list[str]:
        """Return the addresses of a table's Parquet files, to stream what does not fit into memory.

        Raises:
            UserError: when the table does not exist, or rows in its files were deleted by a file beside them.
        """
        table = self._table(name)
        if table is None:
            raise UserError(f"there is no table {name!r} yet; run 'mlops run feature' for the days you need")
        tasks = list(table.scan(snapshot_id=snapshot).plan_files())
        if any(task.delete_files for task in tasks):
            raise UserError(f"{name!r} has delete files, so its data files have rows too many: compact it first")
        return sorted(_address(table.io, task.file.file_path) for task in tasks)

    def snapshot(self, name: str) -> int | None:
        """Return the id of the table's current snapshot, its data version, or None when it has none."""
        table = self._table(name)
        return _current(table) if table else None

    def stored(self, name: str) -> Stored | None:
        """Return how a table is stored, or None where there is no such table."""
        table = self._table(name)
        if table is None:
            return None
        schema, snapshot = table.schema(), table.current_snapshot()
        columns = {field.name: field.type for field in _plain_schema(schema.as_arrow())}
        time = next((schema.find_column_name(field.source_id) for field in table.spec().fields), None)
        summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
        return Stored(columns, time or "", int(summary.get("total-records", 0)))

    def stored_names(self, name: str, snapshot: int | None = None) -> Mapping[str, str]:
        """Return the columns of a snapshot, or of the table as it is: by the name now, the one that is stored."""
        table = self._table(name)
        return _names(table, snapshot) if table else {}

    @told
    def evolve(self, name: str, schema: pa.Schema) -> None:
        """Add the columns of a schema that a table lacks, of which its rows have null, and widen its types to these."""
        table, another_look = self._table(name), AnotherLook()
        while table is not None and _evolves(table, schema):
            with another_look:
                _evolve(table, schema)
            table.refresh()

    @told
    def migrate(
        self, name: str, renamed: Mapping[str, str], retyped: Mapping[str, pa.DataType], convert: Conversion
    ) -> None:
        """Rename columns, and give others another type, in one commit: all of it is done, or nothing.

        ``renamed`` maps old names to new ones. ``convert`` takes every version of every row, with the new names, and
        returns the columns ``retyped`` in their types. Earlier snapshots keep the types that they have, and of retyped
        columns the names.
        """
        table, another_look = self._table(name), AnotherLook()
        while table is not None:
            with another_look:
                with table.transaction() as commit:
                    with commit.update_schema() as update:
                        for old, new in renamed.items():
                            update.rename_column(old, new)
                    if retyped:
                        stored = _plain(table.scan().to_arrow())
                        rows = convert(stored.rename_columns([renamed.get(one, one) for one in stored.column_names]))
                        with commit.update_schema() as update:
                            for column in retyped:
                                update.delete_column(column)
                        with commit.update_schema() as update:
                            update.union_by_name(pa.schema(list(retyped.items())))
                        commit.overwrite(rows)
                return
            table.refresh()

    def names(self, namespace: str) -> list[str]:
        """Return the names of a namespace's tables, such as ``features.queue_0123abcd``, sorted."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        try:
            return sorted(f"{namespace}.{name}" for *_, name in self._catalog.list_tables(self._prefix + namespace))
        except NoSuchNamespaceError:
            return []

    def drop(self, name: str) -> None:
        """Delete a table and its files; that it is gone already is no error."""
        from pyiceberg.exceptions import NoSuchTableError

        with suppress(NoSuchTableError):
            self._catalog.purge_table(self.address(name))

    @told
    def adopt(self) -> list[str]:
        """Take over the tables whose files were restored or copied to here, and return their names.

        See :mod:`pipelines.storage.relocation`.
        """
        from pipelines.storage.relocation import adopt

        return adopt(self._catalog, self._prefix)

    def pin(self, snapshots: Mapping[str, int], tag: str) -> None:
        """Tag snapshots so that they outlive the expiry of others for as long as the tag stands."""
        for name, snapshot in snapshots.items():
            table, another_look = self._table(name), AnotherLook()
            while table is not None and tag not in table.refs():
                with another_look:
                    table.manage_snapshots().create_tag(snapshot, tag).commit()
                table.refresh()

    def address(self, name: str) -> tuple[str, str]:
        """Return the names under which the catalog has the table: its namespace's, and its own."""
        namespace, _, table = name.partition(".")
        return self._prefix + namespace, table

    @cached_property
    def _catalog(self) -> "Catalog":
        return self._load()

    def _table(self, name: str) -> "Table | None":
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self._catalog.load_table(self.address(name))
        except NoSuchTableError:
            return None

    def _create(self, name: str, schema: pa.Schema, time: str) -> "Table":
        from pyiceberg.exceptions import CommitStateUnknownException, TableAlreadyExistsError
        from pyiceberg.transforms import MonthTransform

        address = self.address(name)
        self._catalog.create_namespace_if_not_exists(address[0])
        with (
            suppress(TableAlreadyExistsError, CommitStateUnknownException),  # another process, or we, were first
            self._catalog.create_table_transaction(address, schema=schema, properties=_PROPERTIES) as creation,
            creation.update_spec() as spec,
        ):
            spec.add_field(time, MonthTransform(), "month")
        made = self._table(name)
        if made is None:
            raise Unavailable(f"the catalog did not make table {name!r}; ask again later")
        return made


def _current(table: "Table") -> int | None:
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def _address(io: "FileIO", location: str) -> str:
    """Return the address under which Arrow opens a file; the catalog may name it relative to a folder."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, _, path = io.parse_location(location, io.properties) if isinstance(io, PyArrowFileIO) else ("", "", "")
    return path if scheme == "file" else location


def _literal(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _schema_of(table: "Table", snapshot: int | None) -> "Schema":
    """Return the schema that a snapshot was written with, or the table's."""
    found = table.snapshot_by_id(snapshot) if snapshot is not None else None
    return table.schemas()[found.schema_id] if found and found.schema_id is not None else table.schema()


def _known_now(table: "Table", scan: Any, snapshot: int | None) -> Any:
    """Return a scan of the versions that are known now alone; what was written by an earlier release has no others."""
    from pyiceberg.expressions import IsNull

    known = KNOWN_UNTIL in _schema_of(table, snapshot).column_names
    return scan.filter(IsNull(term=KNOWN_UNTIL)) if known else scan


def _names(table: "Table", snapshot: int | None) -> dict[str, str]:
    """Return the columns of a snapshot, or of the table as it is: by the name now, the one that is stored.

    A column that there is no more has the name that it had, unless another has that now.
    """
    now, then = table.schema(), _schema_of(table, snapshot)
    same = {field.name: now.find_column_name(field.field_id) for field in then.fields}
    taken = {name for name in same.values() if name}
    return {name or stored: stored for stored, name in same.items() if name or stored not in taken}


def _evolves(table: "Table", schema: pa.Schema) -> bool:
    """Say whether a table lacks columns of a schema, or has narrower ones."""
    stored = _plain_schema(table.schema().as_arrow())
    wider = ((pa.int32(), pa.int64()), (pa.float32(), pa.float64()))
    return any(
        field.name not in stored.names or (stored.field(field.name).type, field.type) in wider for field in schema
    )


def _evolve(table: "Table", schema: pa.Schema) -> None:
    """Add the columns of a schema that a table lacks, and widen those that are narrower."""
    if _evolves(table, schema):
        with table.update_schema() as update:
            update.union_by_name(schema)


def _versioned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of versions where the schema has them."""
    return _with_version_columns(rows) if KNOWN_UNTIL in schema.names else rows


def _with_version_columns(rows: pa.Table) -> pa.Table:
    for name in (KNOWN_FROM, KNOWN_UNTIL):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, TIMESTAMP))
    return rows


def _same_rows(one: pa.Table, other: pa.Table) -> bool:
    if one.num_rows != other.num_rows:
        return False
    order = [(column, "ascending") for column in other.column_names]
    given, present = (_without_nan(rows).sort_by(order) for rows in (other, one.select(other.column_names)))
    return present.cast(given.schema).equals(given)  # type: ignore[no-any-return]


def _without_nan(rows: pa.Table) -> pa.Table:
    """Return the rows with null for NaN, which equals nothing, not even itself."""
    for number, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            column = rows[field.name]
            rows = rows.set_column(number, field, pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column))
    return rows


def _between(time: str, start: datetime | None, end: datetime | None) -> "BooleanExpression":
    from pyiceberg.expressions import AlwaysTrue, And, GreaterThanOrEqual, LessThan

    after = GreaterThanOrEqual(term=time, value=start.isoformat()) if start else AlwaysTrue()
    before = LessThan(term=time, value=end.isoformat()) if end else AlwaysTrue()
    return And(after, before)


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with Arrow's ordinary strings, which is what the rest of the code compares and joins."""
    return table.cast(_plain_schema(table.schema))


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in schema])
