"""Requests as columns: the form in which request-time features are computed, for a table and for one request alike."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isnan
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.spec import Column, FeatureType, RequestFeatures, UserError

Columns = Mapping[str, np.ndarray[Any, np.dtype[Any]]]

_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_TYPES: Mapping[str, Any] = {"string": str, "float": float, "integer": int, "boolean": bool, "timestamp": datetime}


class RequestDecoder:
    """Decodes JSON request bodies: one object, or ``{"instances": [objects]}``, each with the request's fields."""

    def __init__(self, schema: Mapping[str, Column]) -> None:
        self._schema = schema
        row = msgspec.defstruct("Request", [_field(name, column) for name, column in schema.items()], **_STRICT)
        rows: Any = Annotated[list[row], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
        batch = msgspec.defstruct("Requests", [("instances", rows)], **_STRICT)
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._batch: msgspec.json.Decoder[Any] = msgspec.json.Decoder(batch)

    def __call__(self, body: bytes) -> tuple[Columns, bool]:
        """Return the fields as columns, personal ones left out, and whether the body was a single request.

        Raises:
            UserError: saying what in the body is wrong and what is allowed there.
        """
        single = b'"instances"' not in body[:64]
        try:
            rows = [self._row.decode(body)] if single else self._batch.decode(body).instances
        except msgspec.ValidationError as error:
            raise UserError(
                f"{error}. A request carries {', '.join(self._schema)}; several go in 'instances'"
            ) from error
        except msgspec.DecodeError as error:
            raise UserError(f"the body is not JSON: {error}") from error
        fields = {
            name: _from_values(list(map(attrgetter(name), rows)), column)
            for name, column in self._schema.items()
            if not column.personal
        }
        return fields, single


def from_table(requests: pa.Table, schema: Mapping[str, Column]) -> Columns:
    """Return the request fields of an Arrow table, as the decoder returns those of a body."""
    return {name: _from_arrow(requests[name], column) for name, column in schema.items() if not column.personal}


def request_features(definition: RequestFeatures, fields: Columns) -> Columns:
    """Compute the request-time features, in the types that the model takes.

    Raises:
        UserError: when they are computed from a field that requests do not have, or that is personal.
    """
    try:
        computed = definition.compute(fields)
    except KeyError as error:
        raise UserError(f"the request features use {error}, which is personal or no field of a request") from error
    return {name: as_input(computed[name], kind) for name, kind in definition.features.items()}


def as_input(values: Any, kind: FeatureType) -> np.ndarray[Any, np.dtype[Any]]:
    """Return feature values as a model input: float32 with NaN for missing, or strings with '' for missing."""
    if kind is FeatureType.NUMERIC:
        return np.asarray(values, dtype=np.float32)
    return np.array(["" if value is None else value for value in values], dtype=object)


def without_nan(values: Iterable[Any]) -> list[Any]:
    """Return the values with None for NaN, which JSON does not have."""
    return [None if isinstance(value, float) and isnan(value) else value for value in values]


_STRICT: Mapping[str, Any] = {"forbid_unknown_fields": True, "frozen": True, "kw_only": True, "gc": False}


def _field(name: str, column: Column) -> tuple[Any, ...]:
    limits: dict[str, Any] = {"tz": True} if column.type == "timestamp" else {}
    if column.type in ("float", "integer"):
        limits = {side: value for side, value in (("ge", column.min), ("le", column.max)) if value is not None}
    kind: Any = Literal[column.values] if column.values else Annotated[_TYPES[column.type], msgspec.Meta(**limits)]
    return (name, kind | None, None) if column.nullable else (name, kind)


def _from_arrow(values: pa.ChunkedArray, column: Column) -> np.ndarray[Any, np.dtype[Any]]:
    match column.type:
        case "string":
            return np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)
        case "timestamp":
            return np.asarray(values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False), dtype="datetime64[us]")
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _from_values(values: list[Any], column: Column) -> np.ndarray[Any, np.dtype[Any]]:
    match column.type:
        case "string":
            return np.array(values, dtype=object)
        case "timestamp":
            return np.array([_naive(value) for value in values], dtype="datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _naive(time: datetime | None) -> datetime | None:
    """Return a time in UTC without its zone, which numpy does not know."""
    if time is None:
        return None
    if not _FIRST_YEAR < time.year < _LAST_YEAR:
        raise UserError(f"{time.isoformat()} is no time to predict for: use the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return (time if time.tzinfo is UTC else time.astimezone(UTC)).replace(tzinfo=None)
