"""Checks of rows against those of other days that are ingested already: keys used again, and labels before requests."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.data_quality import Violation
from pipelines.config import Problem, RawTable, UserError
from pipelines.storage.sql import session
from pipelines.storage.tables import TIMESTAMP, Tables

_SHOWN = 3


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
            values = pa.array([value for value, _ in again], rows[column].type)
            at = pc.indices_nonzero(pc.is_in(rows[column], value_set=values).combine_chunks())
            found.append(Violation(column, rule, len(at), shown, at))
    return found


def refuse_used_meanwhile(
    tables: Tables, name: str, rows: pa.Table, contract: RawTable, start: datetime, end: datetime, seen: int | None
) -> None:
    """Raise when another process ingested these keys for other days after the snapshot ``seen``, which was checked.

    Called before each try to commit, which fails where a table changed since the try began: so no key comes twice.

    Raises:
        UserError: with examples of the keys.
    """
    if tables.snapshot(f"raw.{name}") == seen:
        return
    again = used_elsewhere(tables, name, rows, contract, start, end)
    if again:
        lines = "\n".join(f"  {name}.{violation}" for violation in again)
        raise UserError(
            f"Another run ingested rows of {name} meanwhile:\n{lines}\n"
            "Nothing of these days was written to the table. Fix the source, and run it again."
        )


def early_labels(
    problem: Problem, tables: Tables, raw: Mapping[str, pa.Table], start: datetime, end: datetime
) -> list[tuple[str, Violation]]:
    """Return a violation where a label comes before its request, with the table whose row it is.

    That is the label's where it is among these rows, and the request's where its label is of other days.
    """
    config = problem.config
    label, request, key = config.label.table, config.request.table, config.key
    if label == request:
        return []
    times = {name: config.tables[name].event_time for name in (label, request)}
    found = []
    for name, other, before, rule in (
        (label, request, "new < other", f"a label must not come before its request in {request}"),
        (request, label, "other < new", f"a request must not come after its label in {label}"),
    ):
        if name not in raw or not raw[name].num_rows:
            continue
        rows = raw[name].select([key, times[name]])
        others = _others(tables, other, rows[key], key, times, start, end)
        if name == label and other in raw:
            others.append(raw[other].select([key, times[other]]))
        if not others:
            continue
        there = pa.concat_tables(part.rename_columns(["key", "other"]) for part in others)
        new = rows.rename_columns(["key", "new"]).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
        query = f"""SELECT place, key, new, other FROM new JOIN others USING (key) WHERE {before} ORDER BY key, place"""
        with session(new=new, others=there) as connection:
            early = connection.sql(query).fetchall()
        if early:
            said = "{} of {:%Y-%m-%d %H:%M}, asked {:%Y-%m-%d %H:%M}"
            shown = tuple(
                said.format(one, *((mine, theirs) if name == label else (theirs, mine)))
                for _, one, mine, theirs in early[:_SHOWN]
            )
            at = pa.array(sorted({place for place, *_ in early}), pa.int64())
            found.append((name, Violation(times[name], rule, len(at), shown, at)))
    return found


def _others(
    tables: Tables, name: str, keys: pa.ChunkedArray, key: str, times: Mapping[str, str], start: datetime, end: datetime
) -> list[pa.Table]:
    """Return keys and times of a table's rows of other days that have one of these keys."""
    if tables.snapshot(f"raw.{name}") is None:
        return []
    stored = tables.among(f"raw.{name}", {key, times[name]}, key, keys)
    query = f"""SELECT there."{key}", there."{times[name]}" FROM there SEMI JOIN rows USING ("{key}")
        WHERE there."{times[name]}" NOT BETWEEN $start AND $end - INTERVAL 1 MICROSECOND"""
    with session(there=stored, rows=pa.table({key: keys})) as connection:
        found = connection.sql(query, params={"start": start, "end": end}).to_arrow_table()
    return [found.cast(pa.schema([(key, pa.string()), (times[name], TIMESTAMP)]))]
