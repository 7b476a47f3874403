"""Step 12, first half: write raw rows into their Iceberg tables, idempotent by day."""

import logging
from datetime import datetime

import pyarrow as pa

from pipelines.config import Problem, UserError
from pipelines.feature import Checked, FeatureParams, Snapshots, knowledge
from pipelines.feature.other_days import violations
from pipelines.feature.validate import refusal
from pipelines.orchestration.pipeline import RunInfo
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)


def ingest(
    params: FeatureParams, problem: Problem, tables: Tables, run: RunInfo, raw: dict[str, pa.Table], checked: Checked
) -> Snapshots:
    """Make the validated rows what is known now of these days of each raw table; what was known before is kept.

    Raises:
        UserError: when rows do not go with those of other days; then nothing of these days is written anywhere.
    """
    if found := violations(problem, tables, raw, params):
        raise UserError(refusal(params, found))
    snapshots, changed = {}, {}
    moment = params.known_at or datetime.fromisoformat(run.created)
    for name, count in checked.rows.items():
        event_time = problem.config.tables[name].event_time
        done = knowledge.ingest(tables, f"raw.{name}", raw[name], event_time, params.start, params.end, moment)
        if done.snapshot is not None:
            snapshots[f"raw.{name}"] = done.snapshot
        if done.changed_at is not None:
            changed[f"raw.{name}"] = done.changed_at
        log.info("ingested table=%s rows=%d snapshot=%s", name, count, done.snapshot)
    return Snapshots(snapshots=snapshots, changed_at=changed)
