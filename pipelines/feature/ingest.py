"""Step 12, first half: write raw rows into their Iceberg tables, idempotent by day."""

import logging

import pyarrow as pa

from pipelines.config import Problem
from pipelines.feature import Checked, FeatureParams, Snapshots
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)


def ingest(
    params: FeatureParams, problem: Problem, tables: Tables, raw: dict[str, pa.Table], checked: Checked
) -> Snapshots:
    """Replace these days of each raw table by the validated rows."""
    snapshots = {}
    for name, count in checked.rows.items():
        event_time = problem.config.tables[name].event_time
        snapshot = tables.overwrite(f"raw.{name}", raw[name], event_time, params.start, params.end)
        if snapshot is not None:
            snapshots[f"raw.{name}"] = snapshot
        log.info("ingested table=%s rows=%d snapshot=%s", name, count, snapshot)
    return Snapshots(snapshots=snapshots)
