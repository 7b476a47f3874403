"""Labels, which arrive late: those known at a moment, joined to requests and to predictions."""

from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import DataError, Problem, Task
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables


def known_labels(
    problem: Problem, tables: Tables, as_of: datetime, start: datetime | None = None, snapshot: int | None = None
) -> pa.Table:
    """Return key, label and known_at of the labels known in ``[start, as_of)``, the latest for each key.

    Raises:
        DataError: as :func:`checked`, and when the label's SQL fails on the rows.
    """
    label, key = problem.config.label, problem.config.key
    time = problem.config.tables[label.table].event_time
    rows = tables.read(f"raw.{label.table}", time=time, start=start, end=as_of, snapshot=snapshot)
    with session(**{label.table: rows}) as connection:
        query = f"""
            SELECT "{key}" AS key, CAST(({label.sql}) AS DOUBLE) AS label, "{time}" AS known_at
            FROM "{label.table}" WHERE ({label.sql}) IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY "{key}" ORDER BY "{time}" DESC) = 1"""
        try:
            return checked(problem, connection.sql(query).to_arrow_table())
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"label.sql fails on table {label.table}: {reason}; it is {label.sql!r}") from error


def checked(problem: Problem, labels: pa.Table) -> pa.Table:
    """Return labels without those that are NaN, which are none.

    Raises:
        DataError: for one that is infinite, or neither 0 nor 1 where an event is predicted, with its key.
    """
    config = problem.config
    values = labels["label"]
    if pc.any(missing := pc.is_nan(values)).as_py():
        labels = labels.filter(pc.invert(missing))
        values = labels["label"]
    binary = config.task is Task.BINARY
    good = pc.is_in(values, pa.array([0.0, 1.0])) if binary else pc.is_finite(values)
    row = pc.index(good, False).as_py()
    if row >= 0:
        wanted = "a label of a binary_classification is 0 or 1, false or true" if binary else "a label is finite"
        raise DataError(
            f"{wanted}; label.sql, {config.label.sql!r}, gives {values[row].as_py():g} for {config.key} "
            f"{labels['key'][row].as_py()!r} of table {config.label.table}"
        )
    return labels


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
