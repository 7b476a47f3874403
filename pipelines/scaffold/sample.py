"""Reads the sample file, CSV or Parquet, into a table with names and types that a problem can declare."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from pipelines.config import UserError, WrongUsage
from pipelines.scaffold.names import clean
from pipelines.storage.tables import TIMESTAMP

SUFFIXES = (".csv", ".parquet")
_MISSING = ["", "NA", "N/A", "NULL", "null", "NaN", "nan", "None"]
_SNIFFED = 64 * 1024  # bytes


class Sample(NamedTuple):
    """Rows in declarable types, the name of each column in the file, and notes for a person."""

    rows: pa.Table
    given: dict[str, str]
    notes: tuple[str, ...]


def read_sample(path: Path, zone: str = "UTC", time_format: str | None = None) -> Sample:
    """Read a file; times without a time zone are in ``zone``; ``time_format`` is accepted beside ISO 8601.

    Raises:
        UserError: when the file is missing, empty, of another kind, or cannot be read.
    """
    if path.suffix not in SUFFIXES:
        raise WrongUsage(f"{path} is neither {' nor '.join(SUFFIXES)}, by its name")
    if not path.is_file():
        raise WrongUsage(f"there is no file {path}")
    try:
        raw = pq.read_table(path) if path.suffix == ".parquet" else _csv(path, time_format)
    except pa.ArrowException as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not raw.num_rows:
        raise UserError(f"{path} has no rows; a sample needs a header and rows")
    names = clean(raw.column_names)
    notes = [
        f"{given!r} is called {name}" for given, name in zip(raw.column_names, names, strict=True) if given != name
    ]
    columns = {}
    for name, values in zip(names, raw.columns, strict=True):
        typed, note = _typed(name, values, zone)
        notes += [note] if note else []
        if typed is not None:
            columns[name] = typed
    given = {name: old for name, old in zip(names, raw.column_names, strict=True) if name in columns}
    return Sample(pa.table(columns), given, tuple(notes))


def _csv(path: Path, time_format: str | None) -> pa.Table:
    return arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            null_values=_MISSING,
            strings_can_be_null=True,
            timestamp_parsers=[arrow_csv.ISO8601, *([time_format] if time_format else [])],
        ),
    )


def _delimiter(path: Path) -> str:
    """Return the separator of the columns, after checking that the whole file is text in UTF-8."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}. Convert it, for example with "
            f"'iconv -f latin1 -t utf-8 {path} > sample.csv'"
        ) from error
    if not text.strip():
        raise UserError(f"{path} is empty; a sample needs a header and rows")
    try:
        return csv.Sniffer().sniff(text[:_SNIFFED].splitlines()[0], delimiters=",;\t|").delimiter
    except csv.Error:  # a single column
        return ","


def _typed(name: str, values: pa.ChunkedArray, zone: str) -> tuple[pa.ChunkedArray | None, str]:
    """Return a column in a type that a problem can declare, or None without one, and a note."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if values.null_count == len(values):
        return None, f"{name} has no value at all and is left out"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _times(name, values, zone)
    for is_kind, wanted in (
        (pa.types.is_boolean, pa.bool_()),
        (pa.types.is_integer, pa.int64()),
        (pa.types.is_floating, pa.float64()),
        (pa.types.is_decimal, pa.float64()),
        (_is_text, pa.string()),
    ):
        if is_kind(kind):
            return values.cast(wanted), _mixed(name, values) if wanted == pa.string() else ""
    return None, f"{name} is {kind}, which no column of a problem can be, and is left out"


def _is_text(kind: Any) -> bool:
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_time))


def _mixed(name: str, values: pa.ChunkedArray) -> str:
    """Note a text column with times that were not recognised because only some have a time zone."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return ""
    times = pc.match_substring_regex(values, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
    if not pc.all(times).as_py():
        return ""
    return f"{name} holds times, some with a time zone and some without: write them all alike to use them as times"


def _times(name: str, values: pa.ChunkedArray, zone: str) -> tuple[pa.ChunkedArray, str]:
    micros = pc.cast(values, pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
    if micros.type.tz is not None:
        return micros.cast(TIMESTAMP), ""
    try:
        aware = pc.assume_timezone(micros, zone, ambiguous="earliest", nonexistent="earliest")
    except (pa.ArrowInvalid, KeyError) as error:
        raise WrongUsage(f"there is no time zone {zone!r}; write one such as 'UTC' or 'Europe/Berlin'") from error
    return aware.cast(TIMESTAMP), f"{name} has no time zone: taken as {zone}; --timezone names another"
