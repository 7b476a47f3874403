"""Features: what a model takes, where each value comes from, and how long it stays valid."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.config.errors import UserError, nearest
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
    """Features of an entity over time, computed from raw tables and other views by SQL or by Python.

    The computation returns the entity columns, ``event_time`` and the features, at most one row for an entity and
    time. A row with event time *t* is served from its effective time: the first multiple of ``every`` after *t* +
    ``delay``, because values reach the online store only then. Training reads the same effective time, so what was
    not yet known online is not known offline either.

    Attributes:
        entity: columns of the request that identify the entity.
        table: the raw table the view reads, if it is one; the SQL names it in FROM.
        sources: else the raw tables and views it reads; SQL names them, Python takes a data frame of each, in order.
            Of a view it reads every row: entity (text), ``event_time`` and features, as if of a raw table.
        every: how often the view is materialised.
        delay: how long after its event time a row that it reads arrives: at least the delay of each view it reads.
        lookback: how much history of what it reads a row's value depends on; that of the views it reads comes on top.
        ttl: a value older than this at request time counts as missing.
        pinned: the version, where a manifest vouches for the definition and says what its version was.
        upstream: the views among the sources; :func:`resolved` finds them by their names.
    """

    name: str
    description: str
    entity: tuple[str, ...]
    table: str = ""
    sources: tuple[str, ...] = ()
    features: Mapping[str, FeatureType]
    every: timedelta
    ttl: timedelta
    lookback: timedelta = timedelta()
    delay: timedelta = timedelta()
    sql: str | None = None
    python: "Callable[..., pd.DataFrame] | None" = None
    pinned: str | None = None
    upstream: "tuple[FeatureView, ...]" = ()

    def __post_init__(self) -> None:
        if bool(self.table) == bool(self.sources):
            raise UserError(
                f"feature view {self.name!r} needs either table, the raw table it reads, or sources, a tuple of names"
            )
        if len(set(self.sources)) < len(self.sources):
            raise UserError(f"feature view {self.name!r} names a source twice: {', '.join(self.sources)}")
        if len(self.sources) > 1 and self.lookback <= timedelta():
            raise UserError(
                f"feature view {self.name!r} reads several sources, whose rows seldom have the same time: say by "
                "'lookback' how far back it looks for those that go together"
            )
        if (self.sql is None) == (self.python is None):
            raise UserError(f"feature view {self.name!r} needs either sql or python, not both and not neither")
        if self.every <= timedelta():
            raise UserError(f"feature view {self.name!r}: 'every' must be longer than 0 s")

    @property
    def reads(self) -> tuple[str, ...]:
        """What the view reads: names of raw tables and of views."""
        return self.sources or (self.table,)

    @cached_property
    def raw_tables(self) -> tuple[str, ...]:
        """The raw tables that the view's values come from, through other views too."""
        views = {view.name for view in self.upstream}
        through = (name for view in self.upstream for name in view.raw_tables)
        return tuple(dict.fromkeys([*(name for name in self.reads if name not in views), *through]))

    @cached_property
    def horizon(self) -> timedelta:
        """How much raw history a row's value depends on, through other views too."""
        return self.lookback + max((view.horizon for view in self.upstream), default=timedelta())

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change with anything that changes the view's values, and with nothing else.

        What a view reads changes them, so a view has another version when one of those has that it reads.
        """
        versions = {view.name: view.version for view in self.upstream}
        return self.pinned or _digest(
            f"feature view {self.name!r}",
            [
                self.name,
                self.entity,
                self.table or [(name, versions.get(name, "")) for name in self.sources],
                [(name, kind.value) for name, kind in self.features.items()],  # in the order in which they are stored
                [span // timedelta(microseconds=1) for span in (self.every, self.ttl, self.lookback, self.delay)],
            ],
            self.sql or self.python,
        )

    @property
    def versioned_name(self) -> str:
        """The name under which this version is stored, offline and online."""
        return f"{self.name}_{self.version}"


def resolved(views: Sequence[FeatureView], tables: Collection[str]) -> tuple[FeatureView, ...]:
    """Return views, in their order, each with the views that it reads.

    Raises:
        UserError: when one reads what is no raw table and no view, or what is both, or itself through others, or when
            it would count before a view that it reads.
    """
    by_name, done = {view.name: view for view in views}, dict[str, FeatureView]()

    def resolve(view: FeatureView, path: tuple[str, ...]) -> FeatureView:
        if view.name in path:
            circle = " → ".join((*path[path.index(view.name) :], view.name))
            raise UserError(f"feature views read each other in a circle: {circle}; take one of them out of its sources")
        if view.name not in done:
            names = _upstream_names(view, by_name, tables)
            upstream = tuple(resolve(by_name[name], (*path, view.name)) for name in names)
            for other in upstream:
                if view.delay < other.delay:
                    raise UserError(
                        f"feature view {view.name!r} reads {other.name!r}, whose rows arrive {other.delay} after their "
                        f"event time: its own 'delay' must be that at least, and is {view.delay}"
                    )
            done[view.name] = replace(view, upstream=upstream) if upstream else view
        return done[view.name]

    return tuple(resolve(view, ()) for view in views)


def _upstream_names(view: FeatureView, views: Collection[str], tables: Collection[str]) -> list[str]:
    """Return the names of the views among what a view reads."""
    if view.table:
        if view.table not in tables:
            raise UserError(f"feature view {view.name!r} reads no table {view.table!r}; {nearest(view.table, tables)}")
        return []
    for name in view.sources:
        if name in tables and name in views:
            raise UserError(
                f"feature view {view.name!r} reads {name!r}, which is a raw table and a feature view; rename the view"
            )
        if name not in tables and name not in views:
            raise UserError(
                f"feature view {view.name!r} reads {name!r}, which is no raw table and no feature view; "
                f"{nearest(name, {*tables, *views})}"
            )
    return [name for name in view.sources if name in views]


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
