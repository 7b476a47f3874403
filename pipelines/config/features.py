"""Features: what a model takes, where each value comes from, and how long it stays valid."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.config.errors import UserError
from pipelines.config.meaning import function_text, sql_text

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    Columns = Mapping[str, npt.NDArray[Any]]


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
        pinned: the version, where a manifest vouches for the definition and says what its version was.
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
    pinned: str | None = None

    def __post_init__(self) -> None:
        if (self.sql is None) == (self.python is None):
            raise UserError(f"feature view {self.name!r} needs either sql or python, not both and not neither")
        if self.every <= timedelta():
            raise UserError(f"feature view {self.name!r}: 'every' must be longer than 0 s")

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change with anything that changes the view's values, and with nothing else."""
        return self.pinned or _digest(
            f"feature view {self.name!r}",
            [
                self.name,
                self.entity,
                self.table,
                [(name, kind.value) for name, kind in self.features.items()],  # in the order in which they are stored
                [span // timedelta(microseconds=1) for span in (self.every, self.ttl, self.lookback, self.delay)],
            ],
            self.sql or self.python,
        )

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
    pinned: str | None = None

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change with what the function computes and with its features."""
        features = sorted((name, kind.value) for name, kind in self.features.items())
        return self.pinned or _digest("the request features", [features], self.compute)


def _digest(what: str, definition: list[Any], computed_by: str | Callable[..., Any] | None) -> str:
    try:
        assert computed_by is not None, "a definition says how it is computed"
        text = sql_text(computed_by) if isinstance(computed_by, str) else function_text(computed_by)
    except ValueError as error:
        raise UserError(f"{what} has no version, because {error}") from error
    return hashlib.sha256(f"{definition!r}\n{text}".encode()).hexdigest()[:8]
