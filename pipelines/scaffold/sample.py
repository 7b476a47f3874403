"""Reads the sample file, CSV or Parquet, into a table with names and types that a problem can declare."""

import csv
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from pipelines.config import UserError, WrongUsage, nearest
from pipelines.feature.conversion import converted
from pipelines.scaffold.names import clean, unlike
from pipelines.scaffold.reading import ColumnReading, Question, by_column, local_times, missing, read_text

SUFFIXES = (".csv", ".parquet")
_SNIFFED = 64 * 1024  # bytes
_CLOCK_FORMATS = ("%H:%M:%S", "%H:%M", "%H", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p")


class Reading(NamedTuple):
    """How a person says that a file is to be read.

    ``zone``: of times without one. ``time_format``: of times that are not ISO 8601. ``read``: types, as
    ``COLUMN=HOW``. ``missing``: words that mean missing, as ``COLUMN=WORD``. ``joined``: columns that state one time
    together, such as a date and an hour.
    """

    zone: str = "UTC"
    time_format: str | None = None
    read: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    def as_flags(self) -> str:
        """Return it as flags of ``mlops problem new``, quoted for a shell; joined columns are the event time's."""
        given = [("--timezone", self.zone)] if self.zone != "UTC" else []
        given += [("--time-format", self.time_format)] if self.time_format else []
        given += [("--read", one) for one in self.read] + [("--missing", one) for one in self.missing]
        return " ".join(f"{flag} {shlex.quote(value)}" for flag, value in given)


class Sample(NamedTuple):
    """Rows in declarable types, and by column: its name in the file, the text it was read from, and how.

    ``notes`` are for a person; ``questions`` are what can be read in several ways.
    """

    rows: pa.Table
    given: dict[str, str]
    notes: tuple[str, ...]
    texts: Mapping[str, pa.ChunkedArray] = {}
    rules: Mapping[str, str] = {}
    questions: Mapping[str, Question] = {}


def read_sample(path: Path, reading: Reading | None = None) -> Sample:
    """Read a file.

    Raises:
        UserError: when the file is missing, empty, of another kind, or cannot be read.
    """
    reading, raw = reading or Reading(), _file(path)
    names = clean(raw.column_names)
    both = {**dict(zip(raw.column_names, names, strict=True)), **{name: name for name in names}}
    how = {name: found[-1] for name, found in _options(reading.read, "--read", both).items()}
    words = _options(reading.missing, "--missing", both)
    given = dict(zip(names, raw.column_names, strict=True))
    columns = dict(zip(names, raw.columns, strict=True))
    texts = {name: missing(values, words.get(name, ())) for name, raw_ in columns.items() if (values := _text(raw_))}
    notes = [f"{old!r} is called {name}" for name, old in given.items() if old != name]
    joined = ""
    if reading.joined:
        parts = [_named(both, column, "event time") for column in reading.joined]
        joined = unlike("asked_at", names)
        texts[joined] = _joined([texts.get(part, columns[part].cast(pa.string())) for part in parts])
        how[joined], given[joined] = "time", joined
        columns = {name: values for name, values in columns.items() if name not in parts} | {joined: texts[joined]}
        notes.append(f"{' and '.join(parts)} are read together as {joined}, its name from here on")
    formats = _formats(texts[joined]) if reading.joined else None
    found = {}
    for name, values in columns.items():
        if texts.get(name, values).null_count == len(values):
            notes.append(f"{name} has no value at all and is left out")
        elif name not in texts and not _declarable(values.type):
            notes.append(f"{name} is {values.type}, which no column of a problem can be, and is left out")
        elif name in texts:
            only = "time" if path.suffix == ".parquet" else ""
            time_format = reading.time_format or (formats if reading.joined and name == joined else None)
            found[name] = read_text(name, texts[name], reading.zone, how.get(name), time_format, only)
        else:
            found[name] = _typed(name, values, reading.zone, how.get(name))
    notes += [
        read.told if read.told.startswith(name) else f"{name}: {read.told}" for name, read in found.items() if read.told
    ]
    told = {name: f"; {' and '.join(said)} missing" for name, said in words.items()}
    if reading.joined:
        told[joined] = f"; {' and '.join(reading.joined)} with a space between"
    return Sample(
        rows=pa.table({name: read.values for name, read in found.items()}),
        given={name: given[name] for name in found},
        notes=tuple(notes),
        texts={name: values for name, values in texts.items() if name in found},
        rules={name: read.rule + told.get(name, "") for name, read in found.items()},
        questions={name: read.question for name, read in found.items() if read.question},
    )


def _file(path: Path) -> pa.Table:
    """Return the rows of a file, those of a CSV as text."""
    if path.suffix not in SUFFIXES:
        raise WrongUsage(f"{path} is neither {' nor '.join(SUFFIXES)}, by its name")
    if not path.is_file():
        raise WrongUsage(f"there is no file {path}")
    try:
        raw = pq.read_table(path) if path.suffix == ".parquet" else _csv(path)
    except pa.ArrowException as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not raw.num_rows:
        raise UserError(f"{path} has no rows; a sample needs a header and rows")
    return raw


def _options(options: Sequence[str], flag: str, names: Mapping[str, str]) -> dict[str, list[str]]:
    return {_named(names, column, flag): found for column, found in by_column(options, flag).items()}


def _named(names: Mapping[str, str], given: str, what: str) -> str:
    if given not in names:
        raise WrongUsage(f"{what}: there is no column {given!r}; {nearest(given, list(names))}")
    return names[given]


def _csv(path: Path) -> pa.Table:
    """Return the whole file as text; an empty cell is an empty text."""
    delimiter = _delimiter(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file, delimiter=delimiter))
    return arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
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


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return a column of text as such, None for another."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_time)):
        return values.cast(kind).cast(pa.string())
    return None


def _joined(parts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(pc.utf8_trim_whitespace(part) for part in parts), " ")


def _formats(texts: pa.ChunkedArray) -> str | None:
    """Return the format of a date in ISO 8601 and a clock such as ``6am`` or ``18:30``, if one fits all values."""
    for clock in _CLOCK_FORMATS:
        if read_text("", texts, "UTC", None, f"%Y-%m-%d {clock}", "time").rule != "text":
            return f"%Y-%m-%d {clock}"
    return None


def _declarable(kind: pa.DataType) -> bool:
    types = pa.types
    kinds = (types.is_timestamp, types.is_date, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)
    return any(check(kind.value_type if types.is_dictionary(kind) else kind) for check in kinds)


def _typed(name: str, values: pa.ChunkedArray, zone: str, how: str | None) -> ColumnReading:
    """Return a column that has a type in the type that a problem can declare."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _times(name, values, zone, how)
    if how == "text":
        return ColumnReading(values.cast(pa.string()), "text")
    if pa.types.is_boolean(kind):
        return ColumnReading(values, "boolean")
    return _integers(values) if pa.types.is_integer(kind) else _floats(values)


def _times(name: str, values: pa.ChunkedArray, zone: str, how: str | None) -> ColumnReading:
    micros = pc.cast(values, pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
    read = local_times(name, micros, zone, how)
    nanoseconds = pa.types.is_timestamp(values.type) and values.type.unit == "ns"
    if nanoseconds and not micros.cast(values.type, safe=False).equals(values):
        return read._replace(told="; ".join(filter(None, [read.told, "nanoseconds are cut to microseconds"])))
    return read


def _integers(values: pa.ChunkedArray) -> ColumnReading:
    try:
        return ColumnReading(values.cast(pa.int64()), "integer")
    except pa.ArrowInvalid:
        told = f"{pc.max(values).as_py()} is beyond 64 bits: kept as text"
        return ColumnReading(values.cast(pa.string()), "text", told)


def _floats(values: pa.ChunkedArray) -> ColumnReading:
    """Return numbers as floats, each decimal as the nearest one; NaN and infinity are missing."""
    if pa.types.is_decimal(values.type):  # of which none is infinite
        return ColumnReading(converted(values, "float"), "float", f"{values.type} is read as the nearest float")
    numbers = values.cast(pa.float64())
    bad = pc.fill_null(pc.invert(pc.is_finite(numbers)), False)
    count = pc.sum(bad).as_py() or 0
    told = f"{count:,} NaN or infinite values ({count / len(values):.1%}) are missing" if count else ""
    return ColumnReading(pc.if_else(bad, pa.scalar(None, pa.float64()), numbers), "float", told)
