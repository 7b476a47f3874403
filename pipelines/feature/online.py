"""Online features: what the serving app feeds the model, in one round trip to the online store."""

from datetime import UTC
from typing import Literal, NamedTuple

from pipelines.feature.materialise import entity_key
from pipelines.feature.missing import with_defaults
from pipelines.feature.request import Columns, as_input, request_features
from pipelines.ports import OnlineRow, OnlineStore
from pipelines.spec import FeatureView, Problem


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
        asked = [time.replace(tzinfo=UTC) for time in fields[self.event_time].astype("datetime64[us]").tolist()]
        keys = {view.versioned_name: _keys(view, fields) for view in self.views}
        found = self.online.read({(name, key) for name, several in keys.items() for key in several})
        for view in self.views:
            name, nothing, rows = view.versioned_name, (None,) * len(view.features), []
            for number, (key, time) in enumerate(zip(keys[name], asked, strict=True)):
                row = found.get((name, key))
                if row is not None and time <= row.event_time + view.ttl:
                    rows.append(row.values)
                else:
                    rows.append(nothing)
                    absent.append(_absent(view, fields, number, row))
            for (feature, kind), values in zip(view.features.items(), zip(*rows, strict=True), strict=True):
                features[feature] = as_input(values, kind)
        return Found(with_defaults(features, self.defaults), absent)


def _keys(view: FeatureView, fields: Columns) -> list[str]:
    return [entity_key(values) for values in zip(*(fields[column] for column in view.entity), strict=True)]


def _absent(view: FeatureView, fields: Columns, number: int, row: OnlineRow | None) -> Absent:
    entity = {column: fields[column][number] for column in view.entity}
    return Absent(view.name, number, entity, "stale" if row else "missing")
