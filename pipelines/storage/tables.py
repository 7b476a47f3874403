"""Iceberg tables: raw rows and feature views, versioned by snapshot, the same code on every profile."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config.errors import UserError
from pipelines.storage.commits import AnotherLook, told
from pipelines.storage.ports import Unavailable

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.io import FileIO
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
        table = self._table(name)
        if table is None:
            if not rows.num_rows:
                return None
            table = self._create(name, rows.schema, time)
        span, another_look = _between(time, start, end), AnotherLook()
        while not _same_rows(present := _plain(table.scan(row_filter=span).to_arrow()), rows):
            with another_look:
                if present.num_rows:
                    table.overwrite(rows.sort_by(time), overwrite_filter=span)
                else:
                    table.append(rows.sort_by(time))
                break
            table.refresh()
        return _current(table)

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
    ) -> pa.Table:
        """Return the rows of ``[start, end)``, of the given snapshot or the current one.

        Raises:
            UserError: when the table does not exist.
            Unavailable: when its files cannot be read.
        """
        table = self._table(name)
        if table is None:
            raise UserError(f"there is no table {name!r} yet; run 'mlops run feature' for the days you need")
        scan = table.scan(selected_fields=tuple(columns), snapshot_id=snapshot)
        if time is not None:
            scan = scan.filter(_between(time, start, end))
        return _plain(scan.to_arrow())

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
    fields = [f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))
