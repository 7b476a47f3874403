"""Labels, which arrive late: those known at a moment, joined to requests and to predictions."""

from datetime import datetime

import pyarrow as pa

from pipelines.config import Problem
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables


def known_labels(
    problem: Problem, tables: Tables, as_of: datetime, start: datetime | None = None, snapshot: int | None = None
) -> pa.Table:
    """Return key, label and known_at of the labels known in ``[start, as_of)``, the latest for each key."""
    label, key = problem.config.label, problem.config.key
    time = problem.config.tables[label.table].event_time
    rows = tables.read(f"raw.{label.table}", time=time, start=start, end=as_of, snapshot=snapshot)
    with session(**{label.table: rows}) as connection:
        query = f"""
            SELECT "{key}" AS key, CAST(({label.sql}) AS DOUBLE) AS label, "{time}" AS known_at
            FROM "{label.table}" WHERE ({label.sql}) IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY "{key}" ORDER BY "{time}" DESC) = 1"""
        return connection.sql(query).to_arrow_table()


def labelled_predictions(
    problem: Problem, tables: Tables, predictions: LogReader, start: datetime, as_of: datetime
) -> pa.Table | None:
    """Return the predictions that were answered in ``[start, as_of)`` with label and known_at, null while not known.

    Every prediction of a request gets its label: the log's key joins them, one row for each prediction id.
    """
    log = predictions.read(start, as_of)
    if log is None:
        return None
    labels = known_labels(problem, tables, as_of, start)
    with session(log=log, labels=labels) as connection:
        query = (
            "SELECT log.*, label, known_at FROM log LEFT JOIN labels USING (key) ORDER BY answered_at, prediction_id"
        )
        return connection.sql(query).to_arrow_table()
