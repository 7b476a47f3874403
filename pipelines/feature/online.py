"""Online features: what the serving app feeds the model, in one round trip to the online store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from pipelines.feature.materialise import entity_key
from pipelines.feature.missing import with_defaults
from pipelines.feature.request import Columns, as_input, request_features
from pipelines.ports import OnlineRow, OnlineStore
from pipelines.spec import FeatureView, Problem

Values = tuple[float | str | None, ...]


class Absent(NamedTuple):
    """A request's row for which a view has no value, with its entity: one it does not know, or only stale values."""

    view: str
    row: int
    entity: dict[str, object]
    kind: Literal["missing", "stale"]


class Found(NamedTuple):
    """The features of requests as model inputs, and where a view had no value for them."""

    features: Columns
    absent: list[Absent]


class OnlineFeatures:
    """Assembles the features of requests: computed from the request, and looked up by its entities."""

    def __init__(self, problem: Problem, online: OnlineStore) -> None:
        self.event_time, self.request = problem.statement.event_time, problem.request_features
        self.views, self.online = problem.views, online
        self.defaults = problem.statement.serving.defaults

    def __call__(self, fields: Columns) -> Found:
        """Return every feature, one value for each request; missing or expired ones as their default or as missing."""
        features, absent = dict(request_features(self.request, fields)), []
        asked = fields[self.event_time].astype("datetime64[us]").tolist()
        keys = {view.name: self._keys(view, fields) for view in self.views}
        wanted = {(view.versioned_name, key) for view in self.views for key in set(keys[view.name])}
        found = self.online.read(wanted)
        for view in self.views:
            known = _with_expiry(view, {key: row for (name, key), row in found.items() if name == view.versioned_name})
            rows = [known.get(key) for key in keys[view.name]]
            values = [_alive(row, time) for row, time in zip(rows, asked, strict=True)]
            absent += [
                Absent(view.name, number, _entity(view, fields, number), "stale" if rows[number] else "missing")
                for number, value in enumerate(values)
                if value is None
            ]
            for position, (name, kind) in enumerate(view.features.items()):
                features[name] = as_input([row[position] if row else None for row in values], kind)
        return Found(with_defaults(features, self.defaults), absent)

    def _keys(self, view: FeatureView, fields: Columns) -> list[str]:
        return [entity_key(values) for values in zip(*(fields[column] for column in view.entity), strict=True)]


def _entity(view: FeatureView, fields: Columns, row: int) -> dict[str, object]:
    return {column: fields[column][row] for column in view.entity}


def _with_expiry(view: FeatureView, rows: Mapping[str, OnlineRow]) -> dict[str, tuple[datetime, Values]]:
    """Return until when (UTC, without its zone, as numpy has times) each entity's values are valid, and the values."""
    return {key: ((row.event_time + view.ttl).replace(tzinfo=None), row.values) for key, row in rows.items()}


def _alive(known: tuple[datetime, Values] | None, asked: datetime) -> Values | None:
    return known[1] if known and asked <= known[0] else None
