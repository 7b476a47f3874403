"""Decodes request bodies to columns: one set of generated types checks JSON, CSV and Arrow."""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from pipelines.config import Column, UserError, nearest
from pipelines.config.limits import FLOAT_LIMIT, INTEGER_LIMIT
from pipelines.feature.request import Columns, from_values

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
FORMATS = (JSON, CSV, ARROW)

_TYPES: Mapping[str, Any] = {"string": str, "float": float, "integer": int, "boolean": bool, "timestamp": datetime}
_TEXTS: Mapping[str, Any] = {
    "integer": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],  # what Arrow holds; its own bounds come later
    "timestamp": Annotated[datetime, msgspec.Meta(tz=True)],
}
_STRICT: Mapping[str, Any] = {"forbid_unknown_fields": True, "frozen": True, "kw_only": True, "gc": False}
_EMPTY = frozenset({""})
_MISSING = {"float": frozenset({"", "nan"})}  # as pandas writes it; other kinds have no such value
_SEVERAL = re.compile(rb'\s*\{\s*"instances"\s*:')

Rows = list[dict[str, Any]]


class TooManyRows(UserError):
    """The body has more rows than one request may; send it in parts."""


class UnsupportedFormat(UserError):
    """The body's content type is not supported."""


class Unreadable(Exception):
    """A text that is no value of its column, in this row."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


_SHOWN_VALUES = 10


class RequestDecoder:
    """Decodes request bodies of one row or several, each with the request's fields."""

    def __init__(self, schema: Mapping[str, Column], max_rows: int | None = None) -> None:
        self._schema, self._max_rows = schema, max_rows
        self._told = ", ".join(_told(name, column) for name, column in schema.items())
        row = msgspec.defstruct("Request", [_field(name, column) for name, column in schema.items()], **_STRICT)
        rows: Any = Annotated[list[row], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
        self._type: Any = msgspec.defstruct("Requests", [("instances", rows)], **_STRICT)
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._batch: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._type)
        self._readers: Mapping[str, Callable[[bytes], tuple[list[Any], bool]]] = {
            JSON: self._json,
            CSV: lambda body: self._converted(self._csv(body), strict=False),
            ARROW: lambda body: self._converted(self._arrow(body), strict=True),
        }

    def __call__(self, body: bytes, content_type: str = JSON) -> tuple[Columns, bool]:
        """Return the fields of a body as :meth:`columns`, and whether it was one JSON object; errors as of both."""
        rows, single = self.rows(body, content_type)
        return self.columns(rows), single

    def rows(self, body: bytes, content_type: str = JSON) -> tuple[list[Any], bool]:
        """Return the rows of a body, for :meth:`columns`, and whether it was a single JSON object.

        Raises:
            UserError: saying what in the body is wrong and what is allowed there.
        """
        if content_type not in self._readers:
            raise UnsupportedFormat(f"{content_type!r} is no content type of requests; send {', '.join(FORMATS)}")
        try:
            rows, single = self._readers[content_type](body)
        except msgspec.ValidationError as error:
            several = "; several go in 'instances'" if content_type == JSON else ""
            raise UserError(f"{error}. A request carries {self._told}{several}") from error
        self._check(len(rows))
        return rows, single

    def columns(self, rows: list[Any]) -> Columns:
        """Return the fields of rows as columns, personal ones left out.

        Raises:
            UserError: for a time that is none to predict for.
        """
        return {
            name: from_values(name, list(map(attrgetter(name), rows)), column)
            for name, column in self._schema.items()
            if not column.personal
        }

    def _check(self, rows: int) -> None:
        if self._max_rows is not None and rows > self._max_rows:
            raise TooManyRows(f"one request may have {self._max_rows:,} rows; send more in several requests")

    def _json(self, body: bytes) -> tuple[list[Any], bool]:
        """Decode ``{"instances": [objects]}``, or one object."""
        try:
            if _SEVERAL.match(body):
                return self._batch.decode(body).instances, False
            return [self._row.decode(body)], True
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"the body is not JSON: {error}") from error
        except RecursionError as error:
            raise UserError("the body is nested too deeply; a request is a flat object") from error

    def _converted(self, rows: Rows, strict: bool) -> tuple[list[Any], bool]:
        try:
            return msgspec.convert({"instances": rows}, self._type, strict=strict).instances, False
        except msgspec.ValidationError:
            raise
        except (ValueError, OverflowError) as error:  # of Python's datetime, which msgspec lets through
            raise UserError(f"{error} - at `{self._unfit(rows, strict)}`") from error

    def _unfit(self, rows: Rows, strict: bool) -> str:
        """Return where the first value is that cannot be converted."""
        values = ((number, name, value) for number, row in enumerate(rows) for name, value in row.items())
        return next(
            f"$.instances[{number}].{name}"
            for number, name, value in values
            if not _reads(value, _kind(self._schema[name]), strict)
        )

    def _csv(self, body: bytes) -> Rows:
        try:
            lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
            return list(self._csv_rows(lines))
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"the body is not CSV in UTF-8: {error}") from error

    def _csv_rows(self, lines: Iterator[list[str]]) -> Iterator[dict[str, Any]]:
        names = next(lines, [])
        self.check_names(names, "the first line of a CSV body names the fields; this one")
        missing = {name: _MISSING.get(self._schema[name].type, _EMPTY) for name in names}
        for number, values in enumerate(line for line in lines if line):
            self._check(number + 1)
            if len(values) != len(names):
                raise UserError(f"$.instances[{number}] has {len(values)} values; the first line names {len(names)}")
            yield {
                name: None if value.lower() in missing[name] else value
                for name, value in zip(names, values, strict=True)
            }

    def _arrow(self, body: bytes) -> Rows:
        from pipelines.feature.arrow import arrow_rows  # only requests with Arrow pay for the import

        return arrow_rows(body, self.check_names, self._check)

    def check_names(self, names: list[str], what: str) -> None:
        """Raise a UserError unless each of the names is a field of a request, and is there once."""
        for name in names:
            if name not in self._schema:
                raise UserError(f"{what} names {name!r}, which is no field; {nearest(name, self._schema)}")
        if len(set(names)) < len(names):
            raise UserError(f"{what} names a field twice")
        if not names:
            raise UserError(f"{what} is empty; name {', '.join(self._schema)}")


def from_text(values: list[str | None], column: Column) -> list[Any]:
    """Return the values of one column of a CSV file, as those of a CSV body are read; None stays None.

    Raises:
        Unreadable: for the first text that is no such value.
    """
    kind: Any = _TEXTS.get(column.type, _TYPES[column.type])
    missing = _MISSING.get(column.type, _EMPTY)
    given = [None if value is None or value.lower() in missing else value for value in values]
    try:
        return msgspec.convert(given, list[kind | None], strict=False)
    except (ValueError, OverflowError) as error:
        raise Unreadable(next(row for row, value in enumerate(given) if not _reads(value, kind))) from error


def _reads(value: Any, kind: Any, strict: bool = False) -> bool:
    try:
        msgspec.convert(value, kind | None, strict=strict)
    except (ValueError, OverflowError):
        return False
    return True


def limits(column: Column) -> dict[str, Any]:
    """Return the least (``ge``) and the greatest (``le``) value of a numeric column; nothing for others."""
    if column.type == "float":
        low, high = -FLOAT_LIMIT, FLOAT_LIMIT
        return {
            "ge": low if column.min is None else max(low, column.min),
            "le": high if column.max is None else min(high, column.max),
        }
    if column.type == "integer":
        return {
            "ge": -INTEGER_LIMIT if column.min is None else max(-INTEGER_LIMIT, math.ceil(column.min)),
            "le": INTEGER_LIMIT if column.max is None else min(INTEGER_LIMIT, math.floor(column.max)),
        }
    return {}


def _told(name: str, column: Column) -> str:
    """Return a field's name with what is allowed there, for people."""
    values = column.values or ()
    allowed = [f"one of {', '.join(values)}"] if 0 < len(values) <= _SHOWN_VALUES else []
    allowed += ["may be left out"] if column.nullable else []
    return f"{name} ({'; '.join(allowed)})" if allowed else name


def _field(name: str, column: Column) -> tuple[Any, ...]:
    kind = _kind(column)
    return (name, kind | None, None) if column.nullable else (name, kind)


def _kind(column: Column) -> Any:
    meta: dict[str, Any] = {"tz": True} if column.type == "timestamp" else limits(column)
    return Literal[column.values] if column.values else Annotated[_TYPES[column.type], msgspec.Meta(**meta)]
