"""What was known when: the versions of rows, and which of them counts at a moment.

A row's version is known from ``known_from`` until ``known_until``, its end excluded. Without a beginning it is known
since it happened: a first load of history counts as it would have arrived, at its event time plus the view's delay.
Without an end it is known still. See docs/decisions/0020-rows-carry-when-they-were-known.md.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Problem, RawTable
from pipelines.feature import schema
from pipelines.storage.sql import session
from pipelines.storage.tables import KNOWN_FROM, KNOWN_UNTIL, TIMESTAMP, Tables

_INGESTED = "mlops.ingested."  # table properties: the beginning of a span, and as the value its end
_TICK = timedelta(microseconds=1)


class Ingested(NamedTuple):
    """A table's snapshot after an ingest, and from when its changes are known, or None where there were none."""

    snapshot: int | None
    changed_at: datetime | None


def ingest(
    tables: Tables,
    name: str,
    rows: pa.Table,
    contract: RawTable,
    start: datetime,
    end: datetime,
    moment: datetime,
    check: Callable[[], None],
    *,
    beside: bool = False,
) -> Ingested:
    """Make rows what is known now of ``[start, end)`` of a raw table, and keep what was known before.

    Of spans that were ingested before, what is new, gone or different is known from ``moment`` on, or from just after
    the last change of the span where that is later. All else is known since it happened. ``beside`` leaves what is
    known of the span there, and adds those rows to it that are not. ``check`` raises where the rows may not come; it
    is asked before each try to commit.
    """
    last, time = None, contract.event_time

    def revision(present: pa.Table, properties: Mapping[str, str]) -> tuple[pa.Table, Mapping[str, str]]:
        nonlocal last
        check()
        given, present = rows, schema.as_declared(name, present, contract.columns)
        if beside:
            known = known_now(present).select(rows.column_names).cast(rows.schema)
            given = pa.concat_tables([known, absent(rows, known)])
        revised, recorded = arrived(present, properties, given, time, start, end, moment)
        last = max(moments(revised), default=None)
        return revised, recorded

    snapshot = tables.revise(name, versioned(rows.schema), time, start, end, revision)
    return Ingested(snapshot, last if last and last >= moment else None)


def arrived(
    present: pa.Table,
    properties: Mapping[str, str],
    rows: pa.Table,
    time: str,
    start: datetime,
    end: datetime,
    moment: datetime,
) -> tuple[pa.Table, Mapping[str, str]]:
    """Return the versions and properties that a table has after rows of ``[start, end)`` arrived; see :func:`ingest`.

    ``present`` are the versions of that span before; the properties say which spans were ingested before.
    """
    spans = _spans(properties)
    if not spans and present.num_rows:  # a table of an earlier release
        spans = [(start, end)]
    since = max([moment, *(last + _TICK for last in moments(present)[-1:])])
    return revise(present, rows, since, _inside(rows[time], spans)), _recorded(spans, start, end)


def revise(present: pa.Table, rows: pa.Table, moment: datetime, late: pa.ChunkedArray | None = None) -> pa.Table:
    """Return the versions ``present`` with ``rows`` as those that are known from ``moment`` on.

    Rows that are there already stay as they are, also where equal ones come several times. ``late`` says of each of
    the rows whether it would have been there before, had it been known; None: all of them.
    """
    columns = rows.column_names
    late = pa.chunked_array([pa.repeat(True, rows.num_rows)], pa.bool_()) if late is None else late
    if not present.num_rows:
        known_from = pc.if_else(late, pa.scalar(moment, TIMESTAMP), pa.scalar(None, TIMESTAMP))
        return since_they_happened(rows).set_column(len(columns), KNOWN_FROM, known_from)
    names, each = _listed(columns), f"PARTITION BY {_listed(columns)}"
    same = " AND ".join(f'valid."{name}" IS NOT DISTINCT FROM given."{name}"' for name in [*columns, "nth "])
    query = f"""
        WITH valid AS (SELECT *, row_number() OVER ({each}) AS "nth " FROM present WHERE {KNOWN_UNTIL} IS NULL),
        given AS (SELECT *, row_number() OVER ({each}) AS "nth " FROM rows)
        SELECT {names}, {KNOWN_FROM}, {KNOWN_UNTIL} FROM present WHERE {KNOWN_UNTIL} IS NOT NULL
        UNION ALL BY NAME
        SELECT {names}, {KNOWN_FROM}, {KNOWN_UNTIL} FROM valid WHERE EXISTS (FROM given WHERE {same})
        UNION ALL BY NAME
        SELECT {names}, {KNOWN_FROM}, $moment AS {KNOWN_UNTIL} FROM valid WHERE NOT EXISTS (FROM given WHERE {same})
        UNION ALL BY NAME
        SELECT {names}, CASE WHEN "late " THEN $moment END AS {KNOWN_FROM} FROM given
        WHERE NOT EXISTS (FROM valid WHERE {same})"""
    with session(present=present, rows=rows.append_column("late ", late)) as connection:
        found = connection.sql(query, params={"moment": moment}).to_arrow_table()
    return found.select([*columns, KNOWN_FROM, KNOWN_UNTIL]).cast(versioned(rows.schema))


def absent(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the rows that are not among others, in the columns that both have; of equal ones those in excess."""
    return _joined("ANTI", rows, others)


def common(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the rows that are among others, in the columns that both have; of equal ones as many as there."""
    return _joined("SEMI", rows, others)


def _joined(kind: str, rows: pa.Table, others: pa.Table) -> pa.Table:
    columns = [name for name in rows.column_names if name in others.column_names]
    each = f"row_number() OVER (PARTITION BY {_listed(columns)})"
    same = " AND ".join(f'rows."{name}" IS NOT DISTINCT FROM others."{name}"' for name in [*columns, "nth "])
    query = f"""SELECT {", ".join(f'rows."{name}"' for name in rows.column_names)}
        FROM (SELECT *, {each} AS "nth " FROM rows) rows {kind} JOIN (SELECT *, {each} AS "nth " FROM others) others
        ON {same}"""
    with session(rows=rows, others=others) as connection:
        return connection.sql(query).to_arrow_table().cast(rows.schema)


def versioned(schema: pa.Schema) -> pa.Schema:
    """Return a schema of rows as one of their versions."""
    return schema.append(pa.field(KNOWN_FROM, TIMESTAMP)).append(pa.field(KNOWN_UNTIL, TIMESTAMP))


def since_they_happened(rows: pa.Table) -> pa.Table:
    """Return rows as versions that were and are known since they happened."""
    for name in (KNOWN_FROM, KNOWN_UNTIL):
        rows = rows.append_column(name, pa.nulls(rows.num_rows, TIMESTAMP))
    return rows


def moments(versions: pa.Table) -> list[datetime]:
    """Return the moments at which what was known changed, in their order."""
    known = (versions[name].drop_null().unique().to_pylist() for name in (KNOWN_FROM, KNOWN_UNTIL))
    return sorted({moment for several in known for moment in several})


def changed_at(versions: pa.Table, moment: datetime) -> pa.Table:
    """Return the versions that began or ended at a moment."""
    return versions.filter((pc.field(KNOWN_FROM) == pc.scalar(moment)) | (pc.field(KNOWN_UNTIL) == pc.scalar(moment)))


def known_at(versions: pa.Table, moment: datetime | None) -> pa.Table:
    """Return the rows that were known at a moment; None: before anything changed."""
    came, went = pc.field(KNOWN_FROM), pc.field(KNOWN_UNTIL)
    if moment is None:
        chosen = versions.filter(came.is_null())
    else:
        at = pc.scalar(moment)
        chosen = versions.filter((came.is_null() | (came <= at)) & (went.is_null() | (went > at)))
    return chosen.drop_columns([KNOWN_FROM, KNOWN_UNTIL])


def known_now(versions: pa.Table) -> pa.Table:
    """Return the rows that are known now."""
    return versions.filter(pc.field(KNOWN_UNTIL).is_null()).drop_columns([KNOWN_FROM, KNOWN_UNTIL])


def withdrawn(versions: pa.Table, identity: Iterable[str]) -> pa.Table:
    """Return versions that ended and whose identity has no version that is known now."""
    same = list(identity)
    ended = versions.filter(pc.field(KNOWN_UNTIL).is_valid())
    return ended.join(known_now(versions).select(same), same, join_type="left anti")


class Change(NamedTuple):
    """A row that was added, withdrawn or changed: from when that is known, and its values before and after."""

    kind: str
    known_at: datetime
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


def changes(
    versions: pa.Table, contract: RawTable, since: datetime | None = None, until: datetime | None = None
) -> list[Change]:
    """Return what became known in ``[since, until)`` of rows whose days were ingested before, in its order.

    A row that ended is the same as one that began at that moment when their unique columns are equal, or where there
    is none their event times and texts; that is a change. All others were added or withdrawn.
    """
    columns = [name for name in versions.column_names if name not in (KNOWN_FROM, KNOWN_UNTIL)]
    unique = [name for name in columns if name in contract.columns and contract.columns[name].unique]
    texts = [name for name in columns if pa.types.is_string(versions.schema.field(name).type)]
    identity = unique or [contract.event_time, *texts]
    found: list[Change] = []
    for moment in moments(versions):
        if (since and moment < since) or (until and moment >= until):
            continue
        before, after = dict[tuple[object, ...], list[dict[str, object]]](), list[dict[str, object]]()
        for row in changed_at(versions, moment).to_pylist():
            ended, values = row[KNOWN_UNTIL] == moment, {name: row[name] for name in columns}
            if ended:
                before.setdefault(tuple(values[name] for name in identity), []).append(values)
            else:
                after.append(values)
        for values in after:
            same = before.get(tuple(values[name] for name in identity))
            found.append(Change("changed" if same else "added", moment, same.pop() if same else None, values))
        found += [Change("withdrawn", moment, values, None) for several in before.values() for values in several]
    return found


def requests(
    problem: Problem,
    tables: Tables,
    start: datetime | None,
    end: datetime | None,
    *,
    as_of: datetime | None = None,
    snapshot: int | None = None,
    columns: Iterable[str] = ("*",),
) -> pa.Table:
    """Return the requests of ``[start, end)`` as they were asked: of each the first version, as nobody had another.

    One that was not known at ``as_of``, or no longer, is left out. Where the table's ``corrections`` are "corrected",
    the versions that are known now.
    """
    config = problem.config
    contract, name = config.tables[config.request.table], config.request.table
    read = partial(schema.read, tables, name, contract, start=start, end=end, snapshot=snapshot)
    if contract.corrections == "corrected":
        return read(columns=columns)
    wanted = tuple(columns)
    system = () if wanted == ("*",) else (KNOWN_FROM, KNOWN_UNTIL)
    versions = read(columns=(*wanted, *system), versions=True)
    if not moments(versions):
        return versions.drop_columns([KNOWN_FROM, KNOWN_UNTIL])
    stands = f'bool_or({KNOWN_UNTIL} IS NULL OR {KNOWN_UNTIL} > $as_of) OVER (PARTITION BY "{config.key}")'
    inside = f"({KNOWN_FROM} IS NULL OR {KNOWN_FROM} <= $as_of)"
    cut = (
        f"(SELECT *, {stands} AS stands FROM versions WHERE {inside})"
        if as_of
        else "(SELECT *, true AS stands FROM versions)"
    )
    with session(versions=versions) as connection:
        query = f"SELECT * EXCLUDE (stands) FROM ({first_known(config.key, cut, '*')}) WHERE stands"
        params = {"as_of": as_of} if as_of else {}
        found = connection.sql(query, params=params).to_arrow_table()
    return found.drop_columns([KNOWN_FROM, KNOWN_UNTIL, "place"])


def first_known(key: str, versions: str, columns: str) -> str:
    """Return portable SQL for the versions of each key that were known first."""
    order = f'rank() OVER (PARTITION BY "{key}" ORDER BY {KNOWN_FROM} NULLS FIRST) AS place'
    return f"SELECT {columns} FROM (SELECT *, {order} FROM {versions}) ranked WHERE place = 1"


def _spans(properties: Mapping[str, str]) -> list[tuple[datetime, datetime]]:
    """Return the spans of a table that were ingested before."""
    return [
        (datetime.fromisoformat(key.removeprefix(_INGESTED)), datetime.fromisoformat(value))
        for key, value in properties.items()
        if key.startswith(_INGESTED)
    ]


def _recorded(spans: list[tuple[datetime, datetime]], start: datetime, end: datetime) -> Mapping[str, str]:
    """Return the property that adds a span to those ingested before: it lengthens the one that it continues.

    Spans of two processes at once so have a property each, and neither is lost.
    """
    touched = [span for span in spans if span[0] <= start <= span[1]]
    first, last = min(touched, default=(start, end))
    return {_INGESTED + first.astimezone(UTC).isoformat(): max(last, end).astimezone(UTC).isoformat()}


def _inside(times: pa.ChunkedArray, spans: list[tuple[datetime, datetime]]) -> pa.ChunkedArray:
    """Say of each time whether it lies in one of the spans."""
    inside = pa.chunked_array([pa.repeat(False, len(times))], pa.bool_())
    for start, end in spans:
        low, high = (pa.scalar(moment, TIMESTAMP) for moment in (start, end))
        inside = pc.or_(inside, pc.and_(pc.greater_equal(times, low), pc.less(times, high)))
    return inside


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
