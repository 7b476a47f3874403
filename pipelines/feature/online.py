"""Online features: what the serving app feeds the model, in one round trip to the online store."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pipelines.feature.materialise import entity_key
from pipelines.feature.request import Columns, as_input, request_features
from pipelines.ports import OnlineRow, OnlineStore
from pipelines.spec import FeatureView, RequestFeatures

Values = tuple[float | str | None, ...]


class OnlineFeatures:
    """Assembles the features of requests: computed from the request, and looked up by its entities."""

    def __init__(
        self, event_time: str, request: RequestFeatures, views: Sequence[FeatureView], online: OnlineStore
    ) -> None:
        self.event_time, self.request, self.views, self.online = event_time, request, views, online

    def __call__(self, fields: Columns) -> Columns:
        """Return every feature as a model input of one value for each request; missing or expired ones as missing."""
        features = dict(request_features(self.request, fields))
        asked = fields[self.event_time].astype("datetime64[us]").tolist()
        keys = {view.name: self._keys(view, fields) for view in self.views}
        wanted = {(view.versioned_name, key) for view in self.views for key in set(keys[view.name])}
        found = self.online.read(wanted)
        for view in self.views:
            known = _with_expiry(view, {key: row for (name, key), row in found.items() if name == view.versioned_name})
            values = [_alive(known.get(key), time) for key, time in zip(keys[view.name], asked, strict=True)]
            for position, (name, kind) in enumerate(view.features.items()):
                features[name] = as_input([row[position] if row else None for row in values], kind)
        return features

    def _keys(self, view: FeatureView, fields: Columns) -> list[str]:
        return [entity_key(values) for values in zip(*(fields[column] for column in view.entity), strict=True)]


def _with_expiry(view: FeatureView, rows: Mapping[str, OnlineRow]) -> dict[str, tuple[datetime, Values]]:
    """Return until when (UTC, without its zone, as numpy has times) each entity's values are valid, and the values."""
    return {key: ((row.event_time + view.ttl).replace(tzinfo=None), row.values) for key, row in rows.items()}


def _alive(known: tuple[datetime, Values] | None, asked: datetime) -> Values | None:
    return known[1] if known and asked <= known[0] else None
