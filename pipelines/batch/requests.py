"""The requests of a batch: from a CSV or Parquet file or a day of the request table, checked, a chunk at a time."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monitoring.data_quality import Violation, column_violations
from pipelines.config import Column, DataError, Problem, UserError, WrongUsage
from pipelines.feature.conversion import Fault, convert, must_be
from pipelines.feature.decode import Unreadable, from_text, limits
from pipelines.feature.knowledge import requests as as_asked
from pipelines.storage.tables import ARROW_TYPES, Tables

SUFFIXES = (".csv", ".parquet")


class Requests(NamedTuple):
    """A source of requests: ``identity`` names their content, ``rows`` is their number where it is known."""

    name: str
    identity: str
    rows: int | None
    batches: Iterable[pa.Table]


def of_day(problem: Problem, tables: Tables, day: datetime) -> Requests:
    """Return the request table's rows of the UTC day that begins at ``day``, oldest first."""
    config, name = problem.config, f"raw.{problem.config.request.table}"
    snapshot = tables.snapshot(name)
    time, columns = config.event_time, _used(problem)
    rows = as_asked(problem, tables, day, day + timedelta(days=1), snapshot=snapshot, columns=columns).sort_by(
        [(time, "ascending"), (config.key, "ascending")]
    )
    return Requests(f"table {name}, {day:%Y-%m-%d},", f"{name} {snapshot} {day.isoformat()}", rows.num_rows, [rows])


def of_file(problem: Problem, path: Path) -> Requests:
    """Return the requests of a file; CSV is read as text, with empty for missing.

    Raises:
        UserError: when there is no such file, it is neither CSV nor Parquet, or lacks a column.
    """
    if path.suffix not in SUFFIXES:
        raise WrongUsage(f"{path} is neither {' nor '.join(SUFFIXES)}, by its name")
    if not path.is_file():
        raise WrongUsage(f"there is no file {path}")
    columns = _used(problem)
    try:
        file = pq.ParquetFile(path) if path.suffix == ".parquet" else None
        present = file.schema_arrow.names if file else _csv(path).schema.names
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    missing = [name for name in columns if name not in present]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; a request has the columns {', '.join(columns)}")
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    batches = file.iter_batches(columns=list(columns)) if file else _csv(path, columns)
    tables = (pa.Table.from_batches([batch]).select(list(columns)) for batch in batches)
    return Requests(f"file {path}", sha256, file.metadata.num_rows if file else None, tables)


def chunks(requests: Requests, rows: int) -> Iterator[pa.Table]:
    """Yield the requests in tables of ``rows``, the last one shorter.

    Raises:
        UserError: when the source cannot be read to its end.
    """
    waiting, count = [], 0
    try:
        for table in requests.batches:
            waiting.append(table)
            count += table.num_rows
            while count >= rows:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, rows)
                waiting, count = [whole.slice(rows)], count - rows
    except pa.ArrowInvalid as error:
        raise UserError(f"{requests.name} cannot be read: {error}") from error
    if count:
        yield pa.concat_tables(waiting)


def checked(problem: Problem, name: str, rows: pa.Table, first: int) -> pa.Table:
    """Return a chunk in the declared types, checked against the contract; ``first`` is the number of its first row.

    Raises:
        UserError: naming each column and rule that is broken, the first row that breaks it and some of the values.
    """
    contract = _used(problem)
    read, unreadable = _read(rows, contract)
    typed, faults = convert(read, {column: declared.type for column, declared in contract.items()})
    if faults := unreadable + faults:
        lines = [f"  {fault.told(first)}" for fault in faults]
        raise DataError("\n".join([f"{name} has values that cannot be read:", *lines]))
    if broken := column_violations(typed, {column: _limited(declared) for column, declared in contract.items()}):
        lines = [f"  {_told(violation, first)}" for violation in broken]
        raise UserError("\n".join([f"{name} breaks the data contract of requests:", *lines]))
    return typed


def _read(rows: pa.Table, contract: Mapping[str, Column]) -> tuple[pa.Table, list[Fault]]:
    """Return rows with texts read as a CSV body's are over HTTP, and the faults of columns that cannot be."""
    faults = []
    for name, column in contract.items():
        given = rows[name]
        if column.type != "string" and pa.types.is_string(given.type):
            texts = given.to_pylist()
            try:
                values = pa.array(from_text(texts, column), ARROW_TYPES[column.type])
            except Unreadable as unreadable:
                faults.append(Fault(name, must_be(column.type), unreadable.row, texts[unreadable.row]))
                values = pa.nulls(len(texts), ARROW_TYPES[column.type])
            rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows, faults


def _limited(column: Column) -> Column:
    """Return a column with the bounds that a request has over HTTP."""
    bounds = limits(column)
    return column.model_copy(update={"min": bounds["ge"], "max": bounds["le"]}) if bounds else column


def _used(problem: Problem) -> Mapping[str, Column]:
    """Return the request's columns without the personal ones, which no feature may use."""
    return {name: column for name, column in problem.config.request_columns.items() if not column.personal}


def _csv(path: Path, columns: Iterable[str] = ()) -> pa.RecordBatchReader:
    from pyarrow import csv

    convert = csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    return csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=convert)


def _told(violation: Violation, first: int) -> str:
    at = "" if violation.first is None else f", first in row {first + violation.first}"
    return f"{violation}{at}"
