"""Online features, for the serving app: one round trip to the online store for all requests together."""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Any, Literal, NamedTuple

import numpy as np

from pipelines.config import FeatureType, FeatureView, Problem
from pipelines.feature.entity import entity_keys
from pipelines.feature.missing import with_defaults
from pipelines.feature.request import Columns, as_input, computed, refuse_infinite
from pipelines.storage.ports import OnlineRow, OnlineStore, Unavailable

log = logging.getLogger(__name__)

Kind = Literal["missing", "stale", "unreachable"]

_ASK_AGAIN_SECONDS = 1.0


class Absent(NamedTuple):
    """A request's row for whose entity a view has no value, only expired ones, or none that can be asked for now."""

    view: str
    row: int
    entity: dict[str, object]
    kind: Kind


class FoundFeatures(NamedTuple):
    """The features of requests as model inputs, where a view had no value, and how many values each feature misses."""

    features: Columns
    absent: list[Absent]
    missing: dict[str, int]


class OnlineFeatures:
    """Assembles the features of requests: computed from the request, and looked up by its entities.

    While the store does not answer, and the policies let every view of the model be missing then, one request a second
    asks it, and the others do not wait.
    """

    def __init__(self, problem: Problem, online: OnlineStore) -> None:
        self.event_time, self.request = problem.config.event_time, problem.request_features
        self.views, self.online = {view.versioned_name: view for view in problem.views}, online
        self._outlasts = bool(self.views) and all(problem.config.serving.outlasts(v.name) for v in problem.views)
        self._ask_again = 0.0
        self.defaults, self._schema = problem.config.serving.defaults, problem.config.request_columns
        self._numeric = [name for name, kind in problem.features.items() if kind is FeatureType.NUMERIC]
        self._categorical = [name for name, kind in problem.features.items() if kind is FeatureType.CATEGORICAL]

    def __call__(self, fields: Columns) -> FoundFeatures:
        """Return every feature, one value for each request; missing or expired ones as their default or as missing."""
        values, absent = dict[str, Any](computed(self.request, fields)), list[Absent]()
        asked = [time.replace(tzinfo=UTC) for time in fields[self.event_time].astype("datetime64[us]").tolist()]
        keys = {name: entity_keys(view.entity, fields, self._schema) for name, view in self.views.items()}
        found = self._read({(name, key) for name, several in keys.items() for key in several if key is not None})
        for name, view in self.views.items():
            nothing, rows = (None,) * len(view.features), []
            for number, (key, moment) in enumerate(zip(keys[name], asked, strict=True)):
                row = found.get((name, key)) if found is not None and key is not None else None
                if row is not None and moment <= row.event_time + view.ttl:
                    rows.append(row.values)
                else:
                    rows.append(nothing)
                    absent.append(_absent(view, fields, number, _kind(found, row)))
            values.update(zip(view.features, zip(*rows, strict=True), strict=True))
        return self._inputs(values, absent)

    def _read(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], OnlineRow] | None:
        """Return the stored rows, or None while the store does not answer and the model does without."""
        if self._ask_again:
            if time.monotonic() < self._ask_again:
                return None
            self._ask_again = time.monotonic() + _ASK_AGAIN_SECONDS  # the others do not wait for this one
        try:
            found = self.online.read(wanted)
        except Unavailable as error:
            if not self._outlasts:
                raise
            log.warning("features without the online store reason=%s", error)
            self._ask_again = time.monotonic() + _ASK_AGAIN_SECONDS
            return None
        self._ask_again = 0.0
        return found

    def _inputs(self, values: Mapping[str, Any], absent: list[Absent]) -> FoundFeatures:
        """Return values as model inputs: all numbers in one array, because a numpy call costs more than a row."""
        numbers = np.array([values[name] for name in self._numeric], dtype=np.float32)
        if np.isinf(numbers).any():
            refuse_infinite(dict(zip(self._numeric, numbers, strict=True)))
        texts = [as_input(values[name], FeatureType.CATEGORICAL) for name in self._categorical]
        missing = dict(zip(self._numeric, np.isnan(numbers).sum(axis=1).tolist(), strict=True)) if self._numeric else {}
        missing |= {name: text.tolist().count("") for name, text in zip(self._categorical, texts, strict=True)}
        features = dict(zip([*self._numeric, *self._categorical], [*numbers, *texts], strict=True))
        left = {name: count for name, count in missing.items() if count and name not in self.defaults}
        return FoundFeatures(with_defaults(features, self.defaults), absent, left)


def _kind(found: Mapping[tuple[str, str], OnlineRow] | None, row: OnlineRow | None) -> Kind:
    return "unreachable" if found is None else "stale" if row else "missing"


def _absent(view: FeatureView, fields: Columns, number: int, kind: Kind) -> Absent:
    return Absent(view.name, number, {column: fields[column][number] for column in view.entity}, kind)
