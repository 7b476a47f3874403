"""Checks of rows against those of other days that are ingested already: keys used again, and labels before requests."""

from datetime import datetime

import pyarrow as pa

from monitoring.data_quality import Violation
from pipelines.config import Problem, RawTable
from pipelines.feature import FeatureParams
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables

_SHOWN = 3


def violations(
    problem: Problem, tables: Tables, raw: dict[str, pa.Table], params: FeatureParams
) -> list[tuple[str, Violation]]:
    """Return each violation with its table."""
    found = [
        (name, violation)
        for name, rows in raw.items()
        for violation in used_elsewhere(tables, name, rows, problem.config.tables[name], params.start, params.end)
    ]
    label = problem.config.label.table
    return found or [(label, violation) for violation in early_labels(problem, tables, raw, params)]


def used_elsewhere(
    tables: Tables, name: str, rows: pa.Table, contract: RawTable, start: datetime, end: datetime
) -> list[Violation]:
    """Return a violation for each unique column whose values are known of days that these rows do not replace.

    The table is read in batches, and of it only the files whose values may be among these.
    """
    found = []
    unique = [column for column, declared in contract.columns.items() if declared.unique]
    for column in unique if tables.snapshot(f"raw.{name}") is not None else ():
        if rows[column].null_count == rows.num_rows:
            continue
        query = f"""SELECT there."{column}", there."{contract.event_time}" FROM there
            SEMI JOIN rows ON there."{column}" = rows."{column}"
            WHERE there."{contract.event_time}" NOT BETWEEN $start AND $end - INTERVAL 1 MICROSECOND"""
        there = tables.among(f"raw.{name}", {column, contract.event_time}, column, rows[column])
        with session(there=there, rows=rows.select([column])) as connection:
            again = connection.sql(query, params={"start": start, "end": end}).fetchall()
        if again:
            shown = tuple(f"{value} of {time:%Y-%m-%d %H:%M}" for value, time in sorted(again)[:_SHOWN])
            rule = (
                "must be unique, and is used on other days; to move a row, ingest the days it leaves and enters at once"
            )
            found.append(Violation(column, rule, len(again), shown))
    return found


def early_labels(problem: Problem, tables: Tables, raw: dict[str, pa.Table], params: FeatureParams) -> list[Violation]:
    """Return a violation where a label comes before its request: of these days, or of the table's other days."""
    config = problem.config
    label, request, key = config.label.table, config.request.table, config.key
    if label == request:
        return []
    wanted, times = {}, {name: config.tables[name].event_time for name in (label, request)}
    for name, other in ((label, request), (request, label)):
        new = raw[name].select([key, times[name]])
        wanted[name] = [new]
        if raw[other].num_rows and tables.snapshot(f"raw.{name}") is not None:
            stored = tables.among(f"raw.{name}", {key, times[name]}, key, raw[other][key])
            query = f"""SELECT there."{key}", there."{times[name]}" FROM there SEMI JOIN rows USING ("{key}")
                WHERE there."{times[name]}" NOT BETWEEN $start AND $end - INTERVAL 1 MICROSECOND"""
            with session(there=stored, rows=raw[other].select([key])) as connection:
                found = connection.sql(query, params={"start": params.start, "end": params.end}).to_arrow_table()
            wanted[name].append(found.cast(new.schema))
    labels, requests = (pa.concat_tables(wanted[name]) for name in (label, request))
    query = f"""SELECT "{key}", labels."{times[label]}" AS labelled, requests."{times[request]}" AS asked
        FROM labels JOIN requests USING ("{key}") WHERE labelled < asked ORDER BY "{key}\""""
    with session(labels=labels, requests=requests) as connection:
        early = connection.sql(query).fetchall()
    if not early:
        return []
    shown = tuple(
        f"{one} of {labelled:%Y-%m-%d %H:%M}, asked {asked:%Y-%m-%d %H:%M}" for one, labelled, asked in early[:_SHOWN]
    )
    return [Violation(times[label], f"a label must not come before its request in {request}", len(early), shown)]
