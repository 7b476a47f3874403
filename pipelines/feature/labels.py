"""Labels, which arrive late: those known at a moment, joined to requests and to predictions."""

from collections.abc import Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import DataError, Problem, ProblemConfig, Task
from pipelines.feature import schema
from pipelines.feature.knowledge import since_they_happened
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.sql import session
from pipelines.storage.tables import KNOWN_FROM, KNOWN_UNTIL, Tables


def known_labels(
    problem: Problem, tables: Tables, as_of: datetime, start: datetime | None = None, snapshot: int | None = None
) -> pa.Table:
    """Return key, label and known_at of the labels in ``[start, as_of)`` as known then, the latest for each key."""
    with session(versions=label_versions(problem, tables, as_of, start, snapshot)) as connection:
        query = """
            SELECT key, label, known_at FROM versions WHERE known_until IS NULL OR known_until > $as_of
            QUALIFY row_number() OVER (PARTITION BY key ORDER BY labelled_at DESC) = 1"""
        return connection.sql(query, params={"as_of": as_of}).to_arrow_table()


def label_versions(
    problem: Problem, tables: Tables, as_of: datetime, start: datetime | None = None, snapshot: int | None = None
) -> pa.Table:
    """Return the versions of the labels in ``[start, as_of)`` that were known by then.

    The columns are key, label, labelled_at, which is the event time of the label's row, known_at and known_until. With
    the ``corrections`` of the label's table "corrected" they are the labels that are known now, since they happened.
    """
    label, key = problem.config.label, problem.config.key
    contract = problem.config.tables[label.table]
    time, as_known = contract.event_time, contract.corrections == "as_known"
    rows = schema.read(tables, label.table, contract, start=start, end=as_of, snapshot=snapshot, versions=as_known)
    rows = rows if as_known else since_they_happened(rows)
    with session(**{label.table: rows}) as connection:
        query = f"""
            SELECT "{key}" AS key, CAST(({label.sql}) AS DOUBLE) AS label, "{time}" AS labelled_at,
                greatest("{time}", coalesce({KNOWN_FROM}, "{time}")) AS known_at, {KNOWN_UNTIL} AS known_until
            FROM "{label.table}" WHERE ({label.sql}) IS NOT NULL AND coalesce({KNOWN_FROM} <= $as_of, true)"""
        try:
            return checked(problem, connection.sql(query, params={"as_of": as_of}).to_arrow_table())
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


def earlier_labels(config: ProblemConfig, count: int, examples: Sequence[tuple[str, datetime, datetime]]) -> str:
    """Return what to say of labels that come before their requests: of each example key, label's and request's time."""
    label, request = config.label.table, config.request.table
    lines = [f"  {key}: labelled at {labelled}, asked at {asked}" for key, labelled, asked in examples]
    return "\n".join(
        [
            f"{count:,} rows of {label}.{config.tables[label].event_time} come before their request in {request}:",
            *lines,
            f"No label is known before it is asked for; correct the times in {label} or {request}, and ingest again.",
        ]
    )


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
