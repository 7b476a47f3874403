"""Requests as columns, the form that request features are computed on, for a training table and for one request."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.config import Column, DataError, FeatureType, RequestFeatures, UserError
from pipelines.config.limits import EARLIEST, FIRST_YEAR, LAST_YEAR, LATEST

Columns = Mapping[str, npt.NDArray[Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_A_TIME = np.iinfo(np.int64).min  # numpy's NaT


def from_table(requests: pa.Table, schema: Mapping[str, Column]) -> Columns:
    """Return the request fields of an Arrow table, as the decoder returns those of a body."""
    return {name: _from_arrow(requests[name], column) for name, column in schema.items() if not column.personal}


def from_values(name: str, values: list[Any], column: Column) -> npt.NDArray[Any]:
    """Return the values of one request field as :func:`from_table` returns them.

    Raises:
        UserError: for a time that is none to predict for.
    """
    match column.type:
        case "string":
            return np.array(values, dtype=object)
        case "timestamp":
            micros = [_micros(name, value, row) for row, value in enumerate(values)]
            return np.array(micros, dtype=np.int64).view("datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def request_features(definition: RequestFeatures, fields: Columns) -> Columns:
    """Compute the request-time features, in the types that the model takes; errors as :func:`computed`."""
    values = computed(definition, fields)
    inputs = {name: as_input(values[name], kind) for name, kind in definition.features.items()}
    refuse_infinite({name: inputs[name] for name, kind in definition.features.items() if kind is FeatureType.NUMERIC})
    return inputs


def refuse_infinite(features: Columns) -> None:
    """Raise for a numeric feature that is infinite, as float32 is above 3.4e38: no model takes it.

    Raises:
        DataError: naming the feature and the first row, from 0.
    """
    for name, values in features.items():
        rows = np.flatnonzero(np.isinf(values))
        if len(rows):
            raise DataError(
                f"feature {name!r} is infinite in row {rows[0]}; return NaN for a value that cannot be computed"
            )


def computed(definition: RequestFeatures, fields: Columns) -> Columns:
    """Compute the request-time features, in the types that the computation returns.

    Raises:
        UserError: when they are computed from a field that requests do not have, or that is personal.
    """
    try:
        return definition.compute(fields)
    except KeyError as error:
        raise UserError(f"the request features use {error}, which is personal or no field of a request") from error


def as_input(values: Any, kind: FeatureType) -> npt.NDArray[Any]:
    """Return feature values as a model input: float32 with NaN for missing, or strings with '' for missing."""
    if kind is FeatureType.NUMERIC:
        with np.errstate(over="ignore"):  # told by refuse_infinite
            return np.asarray(values, dtype=np.float32)
    return np.array(["" if value is None else value for value in values], dtype=object)


def without_nan(values: Iterable[Any]) -> list[Any]:
    """Return the values with None for NaN, which JSON does not have."""
    return [None if isinstance(value, float) and isnan(value) else value for value in values]


def _from_arrow(values: pa.ChunkedArray, column: Column) -> npt.NDArray[Any]:
    match column.type:
        case "string":
            return np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)
        case "timestamp":
            return np.asarray(values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False), dtype="datetime64[us]")
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _micros(name: str, time: datetime | None, row: int) -> int:
    """Return a time as microseconds since 1970 in UTC, which numpy converts far faster than a datetime."""
    if time is None:
        return _NOT_A_TIME
    if not EARLIEST <= time <= LATEST:
        told = f"{time.isoformat()} is no time to predict for: use the years {FIRST_YEAR} to {LAST_YEAR} in UTC"
        raise UserError(f"{told} - at {name!r} of row {row}")
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
