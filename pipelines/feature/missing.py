"""Fills missing feature values with defaults, in training tables and in requests alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Default
from pipelines.feature.request import Columns


def with_defaults(features: Columns, defaults: Mapping[str, Default]) -> dict[str, npt.NDArray[Any]]:
    """Return model inputs with the default where a value is missing: NaN of float32, or an empty string."""
    filled = dict(features)
    for name, default in defaults.items():
        values = features[name]
        missing = np.isnan(values) if values.dtype == np.float32 else values == ""
        filled[name] = np.where(missing, np.asarray(default, dtype=values.dtype), values)
    return filled


def column_with_default(values: pa.ChunkedArray, default: Default) -> pa.ChunkedArray:
    """Return a column of a table with the default where the model would see a missing value: null, NaN or ''."""
    if isinstance(default, str):
        text = values.cast(pa.string())
        return pc.if_else(pc.fill_null(pc.not_equal(text, ""), False), text, default)
    numbers = values.cast(pa.float32())
    known = pc.fill_null(pc.invert(pc.is_nan(numbers)), False)
    return pc.if_else(known, numbers, pa.scalar(default, pa.float32()))
