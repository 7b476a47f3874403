"""Step 12, first half: write raw rows into their Iceberg tables, idempotent by day."""

import logging
from datetime import datetime
from functools import partial

import pyarrow as pa

from pipelines.config import Problem
from pipelines.feature import Checked, FeatureParams, Readmission, Snapshots, knowledge, other_days, quarantine, schema
from pipelines.orchestration.pipeline import RunInfo
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)


def ingest(
    params: FeatureParams, problem: Problem, tables: Tables, run: RunInfo, raw: dict[str, pa.Table], checked: Checked
) -> Snapshots:
    """Make the validated rows what is known now of these days of each raw table; what was known before is kept.

    Rows that break the contract go into quarantine, those of a readmission leave it.

    Raises:
        UserError: when the tables are stored otherwise than declared, or more rows break the contract, or do not go
            with those of other days, than go into quarantine; then nothing of these days is written anywhere.
    """
    moment = params.known_at or datetime.fromisoformat(run.created)
    schema.follow(problem, tables)
    if params.readmit:
        return _readmit(params, problem, tables, params.readmit, moment)
    seen = {name: tables.snapshot(f"raw.{name}") for name in checked.rows}
    found = quarantine.violations(problem, tables, raw, params.start, params.end)
    quarantine.refuse_beyond(params, problem, raw, found)
    snapshots, changed, apart = {}, {}, {}
    for name, count in checked.rows.items():
        contract = problem.config.tables[name]
        kept, broken = quarantine.split(raw[name], found[name], contract, params.start)
        span = params.start, params.end
        check = partial(other_days.refuse_used_meanwhile, tables, name, kept, contract, *span, seen[name])
        done = knowledge.ingest(tables, f"raw.{name}", kept, contract, *span, moment, check)
        quarantine.replace(tables, name, broken, params.start, params.end, run.run_id, moment)
        if broken.num_rows:
            apart[f"raw.{name}"] = broken.num_rows
        if done.snapshot is not None:
            snapshots[f"raw.{name}"] = done.snapshot
        if done.changed_at is not None:
            changed[f"raw.{name}"] = done.changed_at
        rate = broken.num_rows / count if count else 0.0
        log.info(
            "ingested table=%s rows=%d quarantined=%d quarantine_rate=%.6f snapshot=%s",
            name, kept.num_rows, broken.num_rows, rate, done.snapshot,
        )  # fmt: skip
    return Snapshots(snapshots=snapshots, changed_at=changed, quarantined=apart)


def _readmit(
    params: FeatureParams, problem: Problem, tables: Tables, wanted: Readmission, moment: datetime
) -> Snapshots:
    done = quarantine.readmit(params, problem, tables, wanted, moment)
    name = f"raw.{wanted.table}"
    log.info("readmitted table=%s rows=%d quarantined=%d", wanted.table, done.left, done.stay)
    current = {f"raw.{table}": tables.snapshot(f"raw.{table}") for table in problem.config.tables}
    return Snapshots(
        snapshots={table: snapshot for table, snapshot in current.items() if snapshot is not None},
        changed_at={name: done.changed_at} if done.changed_at else {},
        quarantined={name: done.stay} if done.stay else {},
        readmitted={name: done.left},
    )
