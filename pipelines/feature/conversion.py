"""The door: every value that enters is cast here to its declared type, with null for NaN, or refused with an example.

The rules (docs/your-problem.md states them for people):

- NaN is null, because SQL orders NaN above every number and so ``y > 0.5`` would hold for it.
- Infinity is refused: no average, no model and no bound survives it.
- A decimal becomes the float that is nearest to it, as Python's ``float(Decimal)``.
- A whole number above 2**53 is refused in a number's column, because float64 does not hold each of them; ids are
  strings, in which every digit stays.
- A time lies within the years 1900 to 2200; sentinels such as 9999-12-31 stand for "none", which is null.
- A number is no time and no boolean (but for 0 and 1), and lists are no values.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Column, DataError
from pipelines.config.limits import EARLIEST, FIRST_YEAR, INTEGER_LIMIT, LAST_YEAR, LATEST
from pipelines.storage.tables import ARROW_TYPES, TIMESTAMP

_EARLIEST, _LATEST = (pa.scalar(time, TIMESTAMP) for time in (EARLIEST, LATEST))
_KINDS = pa.types
_TEXTS = (_KINDS.is_string, _KINDS.is_large_string, _KINDS.is_string_view)
_NUMBERS = (_KINDS.is_integer, _KINDS.is_floating)
_FROM: Mapping[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "string": (
        *_TEXTS, *_NUMBERS, _KINDS.is_decimal, _KINDS.is_boolean, _KINDS.is_temporal, _KINDS.is_binary,
        _KINDS.is_large_binary,
    ),
    "float": (*_TEXTS, *_NUMBERS, _KINDS.is_decimal, _KINDS.is_boolean),
    "integer": (*_TEXTS, *_NUMBERS, _KINDS.is_decimal, _KINDS.is_boolean),
    "boolean": (*_TEXTS, *_NUMBERS, _KINDS.is_boolean),
    "timestamp": (*_TEXTS, _KINDS.is_timestamp, _KINDS.is_date),
}  # fmt: skip
_UNREADABLE = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


class _Unfit(Exception):
    """A column that cannot be read: what is expected of it, and the row of the first value that is otherwise."""

    def __init__(self, rule: str, row: int | None = None) -> None:
        super().__init__(rule)
        self.rule, self.row = rule, row


class Fault(NamedTuple):
    """A column that cannot be read as its type; ``row`` is that of the first such value, from 0."""

    column: str
    rule: str
    row: int | None = None
    example: object = None

    def told(self, first: int = 0) -> str:
        """Return the fault for people; ``first`` is the number of the first row."""
        if self.row is None:
            return f"{self.column}: {self.rule}"
        return f"{self.column}: {self.rule} (for example {_shown(self.example)} in row {first + self.row})"


def convert(rows: Any, kinds: Mapping[str, str]) -> tuple[pa.Table, list[Fault]]:
    """Return the columns that rows have, in the declared types, and the faults of those that cannot be read.

    Rows are an Arrow table, or a data frame of pandas or Polars; columns that are not declared are left out.
    """
    rows = rows if isinstance(rows, pa.Table) else pa.table(rows)
    columns, faults = {}, []
    for name, kind in kinds.items():
        found = rows.column_names.count(name)
        if found > 1:
            faults.append(Fault(name, f"{found} columns have this name"))
        elif found:
            try:
                columns[name] = converted(rows[name], kind)
            except _Unfit as unfit:
                example = None if unfit.row is None else _example(rows[name], unfit.row)
                faults.append(Fault(name, unfit.rule, unfit.row, example))
    return pa.table(columns), faults


def declared(where: str, rows: Any, columns: Mapping[str, Column]) -> pa.Table:
    """Return the declared columns that rows have, in the declared types; see :func:`convert`.

    Raises:
        DataError: naming ``where``, each column that cannot be read, and an example of each.
    """
    try:
        table, faults = convert(rows, {name: column.type for name, column in columns.items()})
    except (TypeError, ValueError) as error:
        what = f"it is a {type(rows).__name__}, not a table of Arrow, pandas or Polars"
        raise DataError(f"{where} cannot be read: {what} ({error})") from error
    if faults:
        lines = [f"  {where}.{fault.told()}" for fault in faults]
        raise DataError("\n".join(["Values cannot be read as the types that problem.toml declares:", *lines]))
    return table


def converted(values: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Return values in a declared type.

    Raises:
        _Unfit: for values that the type does not hold.
    """
    values = _plain(values)
    if not (_KINDS.is_null(values.type) or any(fits(values.type) for fits in _FROM[kind])):
        raise _Unfit(f"{must_be(kind)}, and is {values.type}")
    if kind == "float" and _KINDS.is_decimal(values.type):
        values = values.cast(pa.string())  # the reading of text is exact; Arrow's cast of decimals is off by a bit
    if kind == "boolean" and any(number(values.type) for number in _NUMBERS):
        _require(values, pc.is_in(values, pa.array([0, 1], values.type)), "must be a boolean: true, false, 0 or 1")
    if kind == "string" and _KINDS.is_floating(values.type) and _whole(values):
        values = values.cast(pa.int64())  # ids that were beside nulls in a data frame; else 1e10 is '1e+10'
    cast = _cast(values, kind)
    if _KINDS.is_floating(cast.type):
        cast = without_nan(cast)
        if pc.any(pc.is_inf(cast)).as_py():
            _require(cast, pc.is_finite(cast), "must be finite")
    elif kind == "integer":
        _bounded(cast, -INTEGER_LIMIT, INTEGER_LIMIT, f"must lie within {-INTEGER_LIMIT:,} and {INTEGER_LIMIT:,} {_ID}")
    elif kind == "timestamp":
        rule = f"must lie within the years {FIRST_YEAR} to {LAST_YEAR}; a time that stands for none is null"
        _bounded(cast, _EARLIEST, _LATEST, rule)
    return cast


def without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats with null for NaN."""
    if not pc.any(missing := pc.is_nan(values)).as_py():
        return values
    return pc.if_else(missing, pa.scalar(None, values.type), values)


def must_be(kind: str) -> str:
    """Return the rule that values are of a declared type."""
    return f"must be {_A[kind]}"


_A = {
    "string": "a string",
    "float": "a float",
    "integer": "an integer",
    "boolean": "a boolean",
    "timestamp": "a timestamp",
}
_ID = "(declare an id as a string, which keeps every digit)"


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values without an encoding, in a type that Arrow computes with, and with null for NaN."""
    if _KINDS.is_dictionary(values.type) or _KINDS.is_run_end_encoded(values.type):
        values = values.cast(values.type.value_type)
    if _KINDS.is_float16(values.type):
        values = values.cast(pa.float32())
    return without_nan(values) if _KINDS.is_floating(values.type) else values


def _cast(values: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    target = ARROW_TYPES[kind]
    if values.type == target:
        return values
    truncating = _KINDS.is_timestamp(values.type) and kind == "timestamp"  # to microseconds, as requests are

    def cast(some: pa.ChunkedArray) -> pa.ChunkedArray:
        return some.cast(options=pc.CastOptions(target, allow_time_truncate=truncating))

    try:
        return cast(values)
    except _UNREADABLE as error:
        if isinstance(error, pa.ArrowNotImplementedError):  # for every value, and where there is none
            raise _Unfit(f"{must_be(kind)}, and is {values.type}") from error
        hint = f" {_ID}" if _KINDS.is_integer(values.type) else ""
        raise _Unfit(f"{must_be(kind)}{hint}", _first_unreadable(values, cast)) from error


def _first_unreadable(values: pa.ChunkedArray, cast: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> int:
    """Return the position of the first value that cannot be cast, by halving."""
    start, end = 0, len(values)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            cast(values.slice(start, middle - start))
            start = middle
        except _UNREADABLE:
            end = middle
    return start


def _whole(values: pa.ChunkedArray) -> bool:
    """Say whether floats are whole numbers that a float holds exactly, or missing."""
    exact = pc.and_(pc.equal(pc.round(values), values), pc.less_equal(pc.abs(values), float(INTEGER_LIMIT)))
    return bool(pc.all(exact).as_py())


def _bounded(values: pa.ChunkedArray, low: Any, high: Any, rule: str) -> None:
    found = pc.min_max(values)
    least, greatest = found["min"], found["max"]
    if least.is_valid and not (pc.less_equal(low, least).as_py() and pc.less_equal(greatest, high).as_py()):
        _require(values, pc.and_(pc.less_equal(low, values), pc.less_equal(values, high)), rule)


def _require(values: pa.ChunkedArray, holds: pa.ChunkedArray, rule: str) -> None:
    """Raise unless the condition holds for every value that is not null."""
    broken = pc.index(pc.and_(pc.invert(pc.fill_null(holds, True)), pc.is_valid(values)), True).as_py()
    if broken >= 0:
        raise _Unfit(rule, broken)


def _example(values: pa.ChunkedArray, row: int) -> object:
    """Return a value as Python's, or as Arrow's where Python has none such, as for the year 292277."""
    try:
        return values[row].as_py()
    except (ValueError, OverflowError):
        return values[row : row + 1].cast(pa.int64())[0].as_py()


def _shown(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
