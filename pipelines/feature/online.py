"""Online features: what the serving app feeds the model, in one round trip to the online store."""

from collections.abc import Sequence
from datetime import UTC, datetime

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
        asked = [time.replace(tzinfo=UTC) for time in fields[self.event_time].astype("datetime64[us]").tolist()]
        keys = {view.versioned_name: self._keys(view, fields) for view in self.views}
        found = self.online.read({(name, key) for name, several in keys.items() for key in several})
        for view in self.views:
            name, nothing = view.versioned_name, (None,) * len(view.features)
            known = {key: _with_expiry(view, found.get((name, key))) for key in set(keys[name])}
            pairs = ((known[key], time) for key, time in zip(keys[name], asked, strict=True))
            rows = [row[1] if row and time <= row[0] else nothing for row, time in pairs]
            for (feature, kind), values in zip(view.features.items(), zip(*rows, strict=True), strict=True):
                features[feature] = as_input(values, kind)
        return features

    def _keys(self, view: FeatureView, fields: Columns) -> list[str]:
        return [entity_key(values) for values in zip(*(fields[column] for column in view.entity), strict=True)]


def _with_expiry(view: FeatureView, row: OnlineRow | None) -> tuple[datetime, Values] | None:
    """Return until when an entity's values are valid, and the values."""
    return (row.event_time + view.ttl, row.values) if row else None
