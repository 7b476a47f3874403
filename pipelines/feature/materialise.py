"""Step 12, second half: write feature rows into the offline and the online store."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureView, Problem
from pipelines.contracts import keys
from pipelines.feature import FeatureParams, Snapshots, knowledge
from pipelines.feature.engineer import raw_snapshots, view_rows
from pipelines.feature.entity import entity_key
from pipelines.feature.point_in_time import latest
from pipelines.feature.request import without_nan
from pipelines.registry.definitions import in_use
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import ObjectStore, OnlineRow, OnlineStore
from pipelines.storage.tables import TIMESTAMP, Tables

log = logging.getLogger(__name__)


def materialise(
    params: FeatureParams,
    problem: Problem,
    tables: Tables,
    online: OnlineStore,
    objects: ObjectStore,
    models: ModelStore,
    releases: ReleaseLog,
    ingested: Snapshots,
    features: dict[str, pa.Table],
) -> Snapshots:
    """Write the rows of views offline, and online what of the offline rows is the latest and still valid."""
    snapshots: dict[str, int] = {}
    latest_rows: dict[tuple[str, str], OnlineRow] = {}
    withdrawn: dict[tuple[str, str], set[datetime]] = {}
    as_of = params.online_as_of or params.end
    used = in_use(problem, models, releases, as_of)
    computed = [view for name, (view, _) in used.items() if name in features]
    for view in computed:
        rows, name = features[view.versioned_name], f"features.{view.versioned_name}"
        snapshot = _write(params, problem, tables, view, raw_snapshots(view, ingested.snapshots), rows)
        if snapshot is not None:
            snapshots[name] = snapshot
            reached = max(as_of, online.as_of(view.versioned_name) or as_of)
            rows_of, gone = _valid(tables, view, reached, snapshot)
            latest_rows |= rows_of
            withdrawn |= gone
        log.info("materialised view=%s rows=%d snapshot=%s", view.versioned_name, rows.num_rows, snapshot)
    online.write(latest_rows, {view.versioned_name: as_of for view in (*problem.views, *computed)}, withdrawn)
    objects.write(keys.materialised(as_of), json.dumps({"as_of": as_of.isoformat()}).encode())
    return Snapshots(snapshots=snapshots)


def restore(
    problem: Problem, tables: Tables, online: OnlineStore, models: ModelStore, releases: ReleaseLog, as_of: datetime
) -> dict[str, int]:
    """Write an online store that was lost anew, as of a moment, and return how many entities each view in use has.

    Newer rows in the store stay, but for those of events that were withdrawn since.
    """
    found = {
        name: _valid(tables, view, as_of, None)
        for name, (view, _) in in_use(problem, models, releases, as_of).items()
        if tables.snapshot(f"features.{name}") is not None
    }
    latest_rows = {key: row for rows, _ in found.values() for key, row in rows.items()}
    withdrawn = {key: times for _, gone in found.values() for key, times in gone.items()}
    online.write(latest_rows, dict.fromkeys(found, as_of), withdrawn)
    return {name: len(rows) for name, (rows, _) in found.items()}


def materialised_until(objects: ObjectStore) -> datetime | None:
    """Return how far the feature pipeline brought the online store: a listing and a read; None before the first run."""
    latest = objects.first(keys.MATERIALISED, 1)
    return datetime.fromisoformat(json.loads(objects.read(latest[0]) or b"")["as_of"]) if latest else None


def _valid(
    tables: Tables, view: FeatureView, as_of: datetime, snapshot: int | None
) -> tuple[dict[tuple[str, str], OnlineRow], dict[tuple[str, str], set[datetime]]]:
    """Return a view's online rows at a moment: each entity's latest effective row within the time to live.

    And of the entities the event times, within it, of which there was a row that is withdrawn.
    """
    name = f"features.{view.versioned_name}"
    versions = tables.read(name, time="event_time", start=as_of - view.ttl, end=as_of, snapshot=snapshot, versions=True)
    rows, gone = knowledge.known_now(versions), dict[tuple[str, str], set[datetime]]()
    for key, row in online_rows(view, knowledge.withdrawn(versions, [*view.entity, "event_time"])):
        gone.setdefault(key, set()).add(row.event_time)
    return dict(online_rows(view, latest(view, effective_by(rows, as_of)))), gone


def _write(
    params: FeatureParams,
    problem: Problem,
    tables: Tables,
    view: FeatureView,
    computed_from: Mapping[str, int],
    rows: pa.Table,
) -> int | None:
    """Write a view's rows and return the snapshot; compute them again while other runs add raw rows.

    From the first of these days, or the first of the rows where that is earlier: of a view that was behind. The days
    after this run's look back on its own, so its rows of them must not replace those of a later run.
    """
    first = pc.min(rows["event_time"]).as_py()
    start = min(params.start, first) if first else params.start
    while True:
        current = _current(tables, view)
        if current != computed_from:
            rows, computed_from = view_rows(params, problem, tables, view, current, start), current
        name = f"features.{view.versioned_name}"
        snapshot = tables.overwrite(name, rows, "event_time", start, params.end + view.horizon)
        if _current(tables, view) == computed_from:
            return snapshot


def _current(tables: Tables, view: FeatureView) -> Mapping[str, int]:
    """Return the current snapshots of the raw tables that a view comes from, of those that have one."""
    found = {name: tables.snapshot(f"raw.{name}") for name in view.raw_tables}
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def effective_by(rows: pa.Table, as_of: datetime) -> pa.Table:
    """Return the view rows that are effective at a moment."""
    return rows.filter(pc.less_equal(rows["effective_time"], pa.scalar(as_of, TIMESTAMP)))


def online_rows(view: FeatureView, rows: pa.Table) -> list[tuple[tuple[str, str], OnlineRow]]:
    """Return view rows, in their order, with their keys in the online store; nothing asks for a missing entity."""
    entities = zip(*(rows[column].to_pylist() for column in view.entity), strict=True)
    values = zip(*(without_nan(rows[name].to_pylist()) for name in view.features), strict=True)
    return [
        ((view.versioned_name, key), OnlineRow(time, row))
        for entity, time, row in zip(entities, rows["event_time"].to_pylist(), values, strict=True)
        if (key := entity_key(entity)) is not None
    ]
