"""Step 12, second half: feature rows into the offline and the online store."""

import logging
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.feature import FeatureParams, Snapshots
from pipelines.feature.point_in_time import latest
from pipelines.feature.request import without_nan
from pipelines.ports import OnlineRow, OnlineStore
from pipelines.spec import FeatureView, Problem
from pipelines.tables import TIMESTAMP, Tables

log = logging.getLogger(__name__)


def materialise(
    params: FeatureParams, problem: Problem, tables: Tables, online: OnlineStore, features: dict[str, pa.Table]
) -> Snapshots:
    """Write the views' rows offline, and the latest of each entity online."""
    snapshots: dict[str, int] = {}
    latest_rows: dict[tuple[str, str], OnlineRow] = {}
    as_of = params.online_as_of or params.end
    for view in (view for view in problem.views if view.versioned_name in features):
        rows, name = features[view.versioned_name], f"features.{view.versioned_name}"
        snapshot = tables.overwrite(name, rows, "event_time", params.start, params.end + view.lookback)
        if snapshot is not None:
            snapshots[name] = snapshot
        latest_rows |= dict(online_rows(view, latest(view, effective_by(rows, as_of))))
        log.info("materialised view=%s rows=%d snapshot=%s", view.versioned_name, rows.num_rows, snapshot)
    online.write(latest_rows, {view.versioned_name: as_of for view in problem.views})
    return Snapshots(snapshots=snapshots)


def effective_by(rows: pa.Table, as_of: datetime) -> pa.Table:
    """Return the view rows that are effective at a moment."""
    return rows.filter(pc.less_equal(rows["effective_time"], pa.scalar(as_of, TIMESTAMP)))


def online_rows(view: FeatureView, rows: pa.Table) -> list[tuple[tuple[str, str], OnlineRow]]:
    """Return view rows, in their order, with their keys in the online store."""
    keys = zip(*(rows[column].to_pylist() for column in view.entity), strict=True)
    values = zip(*(without_nan(rows[name].to_pylist()) for name in view.features), strict=True)
    return [
        ((view.versioned_name, entity_key(key)), OnlineRow(time, row))
        for key, time, row in zip(keys, rows["event_time"].to_pylist(), values, strict=True)
    ]


def entity_key(values: tuple[object, ...]) -> str:
    """Return the online key of an entity; the separator is ASCII's own, which no sane identifier holds."""
    return "\x1f".join(map(str, values))
