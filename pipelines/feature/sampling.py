"""Copies a repeatable sample of an environment's raw rows into other tables: whole requests with their labels."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Problem
from pipelines.feature import schema
from pipelines.feature.shared_tables import without_personal
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables


def pull_sample(
    problem: Problem, source: Tables, target: Tables, start: datetime, end: datetime, share: float
) -> dict[str, int]:
    """Copy the rows of ``[start, end)`` and return how many of each table.

    Tables that hold the request's key, such as labels, contribute the same share of keys. Others contribute all rows,
    because a feature view that aggregates a part of them is another feature. Nullable personal columns come as nulls.
    """
    config, counts = problem.config, {}
    start, end = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    views = {name for view in problem.views for name in view.raw_tables}
    for name, contract in config.tables.items():
        if source.snapshot(f"raw.{name}") is None:
            continue
        rows = schema.read(source, name, contract, start=start, end=end, versions=True)
        if config.key in contract.columns and name not in views:
            rows = _share_of(rows, config.key, share)
        rows = without_personal(rows, contract)
        target.overwrite(f"raw.{name}", rows, contract.event_time, start, end)
        counts[name] = rows.num_rows
    return counts


def _share_of(rows: pa.Table, key: str, share: float) -> pa.Table:
    with session(rows=rows) as connection:
        query = f"""SELECT md5_number_lower(CAST("{key}" AS VARCHAR)) % 1000000 < {int(share * 1_000_000)} FROM rows"""
        chosen = connection.sql(query).to_arrow_table().column(0)
    return rows.filter(pc.equal(chosen, True))
