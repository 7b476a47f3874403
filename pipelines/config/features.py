"""Features: what a model takes, where each value comes from, and how long it stays valid."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.config.errors import UserError
from pipelines.config.strict import format_duration

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Columns = Mapping[str, np.ndarray[Any, np.dtype[Any]]]


class FeatureType(StrEnum):
    """The type of a feature in the model's input: float32 (missing: NaN) or string (missing: empty)."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


NUMERIC, CATEGORICAL = FeatureType.NUMERIC, FeatureType.CATEGORICAL


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Features of an entity over time, computed from one raw table by SQL or by Python.

    The computation returns the entity columns, ``event_time`` and the features, at most one row for an entity and
    time. A row with event time *t* is served from its effective time: the first multiple of ``every`` after *t* +
    ``delay``, because values reach the online store only then. Training reads the same effective time, so what was
    not yet known online is not known offline either.

    Attributes:
        entity: columns of the request that identify the entity.
        table: the raw table the view reads; the SQL names it in FROM.
        every: how often the view is materialised.
        delay: how long after its event time a raw row arrives.
        lookback: how much raw history a row's value depends on.
        ttl: a value older than this at request time counts as missing.
    """

    name: str
    description: str
    entity: tuple[str, ...]
    table: str
    features: Mapping[str, FeatureType]
    every: timedelta
    ttl: timedelta
    lookback: timedelta = timedelta()
    delay: timedelta = timedelta()
    sql: str | None = None
    python: "Callable[[pd.DataFrame], pd.DataFrame] | None" = None

    def __post_init__(self) -> None:
        if (self.sql is None) == (self.python is None):
            raise UserError(f"feature view {self.name!r} needs either sql or python, not both and not neither")
        if self.every <= timedelta():
            raise UserError(f"feature view {self.name!r}: 'every' must be longer than 0 s")

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change whenever the view's values may change."""
        definition = [
            self.name,
            self.entity,
            self.table,
            sorted(self.features.items()),
            [format_duration(d) for d in (self.every, self.ttl, self.lookback, self.delay)],
            _text(self.sql or self.python),
        ]
        return _digest(definition)

    @property
    def versioned_name(self) -> str:
        """The name under which this version is stored, offline and online."""
        return f"{self.name}_{self.version}"


@dataclass(frozen=True, kw_only=True)
class RequestFeatures:
    """Features computed from the request alone, by the same function for a training table and for one request.

    ``compute`` takes the request's fields as arrays of one length (strings as object arrays, timestamps as
    ``datetime64[us]`` in UTC, numbers as float64) and returns the features as arrays of that length.
    """

    features: Mapping[str, FeatureType]
    compute: "Callable[[Columns], Columns]"

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change with the function's source or its features."""
        return _digest([sorted(self.features.items()), _text(self.compute)])


def _text(definition: str | Callable[..., Any] | None) -> str:
    """Return SQL without its layout, or for Python the module that holds the function, without comments and layout.

    The whole module counts, because the function may call others in it. A version that changes too often costs a
    rebuild; one that changes too rarely serves values that the model was not trained on.
    """
    if isinstance(definition, str):
        return " ".join(definition.split())
    module = inspect.getmodule(definition)
    if module is None:
        raise UserError(f"{definition!r} has no source file; define it in a module, from which its version derives")
    return ast.dump(ast.parse(inspect.getsource(module)))


def _digest(definition: list[Any]) -> str:
    return hashlib.sha256(repr(definition).encode()).hexdigest()[:8]
