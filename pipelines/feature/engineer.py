"""Step 11: compute the feature views from raw rows, by the SQL or Python that ``model/features.py`` declares."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import CATEGORICAL, DataError, FeatureView, Problem, ProblemConfig, UserError
from pipelines.feature import FeatureParams, Snapshots, knowledge, schema
from pipelines.feature.conversion import Fault, convert
from pipelines.feature.point_in_time import last_effective
from pipelines.registry.definitions import TODAY, in_use
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import OnlineStore
from pipelines.storage.sql import session
from pipelines.storage.tables import ARROW_TYPES, TIMESTAMP, Tables

log = logging.getLogger(__name__)

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


def engineer(
    params: FeatureParams,
    problem: Problem,
    tables: Tables,
    online: OnlineStore,
    models: ModelStore,
    releases: ReleaseLog,
    ingested: Snapshots,
) -> dict[str, pa.Table]:
    """Compute each view that is in use for these days, and for the days after them that look back on them.

    A view that is behind the others, as a new version is, is computed from where it stopped, or from the first raw
    row. One that cannot be computed for a model that is not of today's definitions is told, and left out.
    """
    used = in_use(problem, models, releases, params.online_as_of or params.end)
    complete = {name: online.as_of(name) if tables.snapshot(f"features.{name}") else None for name in used}
    latest = max(filter(None, complete.values()), default=None)
    found = {}
    for name, (view, by) in used.items():
        snapshots = raw_snapshots(view, ingested.snapshots)
        if not snapshots:  # the source has not delivered a row for it yet
            continue
        until = complete[name]
        start = params.start if until == latest else min(params.start, until or _BEGINNING)
        try:
            found[name] = view_rows(params, problem, tables, view, snapshots, start)
        except Exception as error:  # whatever the code of another day does
            if TODAY in by:
                raise
            log.error("not computed view=%s for=%s reason=%s: %s", name, ", ".join(by), type(error).__name__, error)
    return found


def raw_snapshots(view: FeatureView, snapshots: Mapping[str, int]) -> Mapping[str, int]:
    """Return the snapshots of the raw tables that a view comes from, by their names; of those that have one."""
    return {name: snapshots[f"raw.{name}"] for name in view.raw_tables if f"raw.{name}" in snapshots}


def view_rows(
    params: FeatureParams,
    problem: Problem,
    tables: Tables,
    view: FeatureView,
    snapshots: Mapping[str, int],
    start: datetime,
) -> pa.Table:
    """Return a view's rows from ``start`` to the last day that looks back on these, from snapshots of its raw tables.

    They are versions, with the columns of :mod:`pipelines.feature.knowledge`. A raw table without a snapshot is read
    as one without rows.

    Raises:
        UserError: as :func:`compute`.
    """
    config, raw = problem.config, {}
    times = {name: config.tables[name].event_time for name in view.raw_tables}
    since, end = None if start == _BEGINNING else start - view.horizon, params.end + view.horizon
    for name in times:
        if name in snapshots:
            raw[name] = schema.read(
                tables, name, config.tables[name], start=since, end=end, snapshot=snapshots[name], versions=True
            )
        else:
            raw[name] = knowledge.since_they_happened(no_rows(config, name))
    return compute_versions(view, raw, times, start, end)


def compute_versions(
    view: FeatureView, raw: Mapping[str, pa.Table], times: Mapping[str, str], start: datetime, end: datetime
) -> pa.Table:
    """Return the versions of a view's rows with event times in ``[start, end)``, from versions of raw tables' rows.

    The view is computed on what was known first, and again, around what changed, for each moment at which it did: so
    a row is known from the latest moment of what it is made from. ``times`` are the tables' columns of event times.
    """
    first_known = {name: knowledge.known_at(rows, None) for name, rows in raw.items()}
    rows = knowledge.since_they_happened(compute(view, first_known, start, end))
    for moment in sorted({moment for versions in raw.values() for moment in knowledge.moments(versions)}):
        changed = [knowledge.changed_at(versions, moment)[times[name]] for name, versions in raw.items()]
        touched = pc.min_max(pa.chunked_array([chunk for column in changed for chunk in column.chunks])).as_py()
        first = max(start, _taken_together(view, touched["min"])[0])
        last = min(end, _taken_together(view, touched["max"] + view.horizon)[1])
        if first >= last:
            continue
        known = {
            name: knowledge.known_at(_between(versions, times[name], first - view.horizon, last), moment)
            for name, versions in raw.items()
        }
        around = _between(rows, "event_time", first, last)
        others = rows.filter((pc.field("event_time") < _scalar(first)) | (pc.field("event_time") >= _scalar(last)))
        rows = pa.concat_tables([others, knowledge.revise(around, compute(view, known, first, last), moment)])
    return rows


def _taken_together(view: FeatureView, time: datetime) -> tuple[datetime, datetime]:
    """Return the span of event times that take effect with this one, the end excluded."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first = epoch + (time + view.delay - epoch) // view.every * view.every - view.delay
    return first, first + view.every


def _between(rows: pa.Table, time: str, start: datetime, end: datetime) -> pa.Table:
    return rows.filter((pc.field(time) >= _scalar(start)) & (pc.field(time) < _scalar(end)))


def compute(view: FeatureView, raw: pa.Table | Mapping[str, pa.Table], start: datetime, end: datetime) -> pa.Table:
    """Return a view's rows with event times in ``[start, end)``: entity, event time, features, effective time.

    Of an entity's rows with the same effective time only the last, because no other is ever served. ``raw`` are the
    rows of the view's table, or of each of its raw tables by name.

    Raises:
        UserError: when the view yields two rows for one entity and time, or not the columns it declares.
    """
    given = raw if isinstance(raw, Mapping) else {view.table: raw}
    rows = _all_rows(view, given, start, end)
    return last_effective(view, rows.append_column("effective_time", effective_time(view, rows["event_time"])))


def _all_rows(view: FeatureView, raw: Mapping[str, pa.Table], start: datetime, end: datetime) -> pa.Table:
    """Return every row that a view computes, after those that the views compute which it reads.

    It reads all of their rows, not the effective ones alone: which of these are the last of their time depends on
    rows after ``end``.
    """
    since = max(start, _BEGINNING + view.lookback) - view.lookback
    upstream = {other.name: _all_rows(other, raw, since, end) for other in view.upstream}
    sources = {name: upstream[name] if name in upstream else raw[name] for name in view.reads}
    rows = _converted(view, _run(view, sources))
    time = rows["event_time"]
    rows = rows.filter(pc.and_(pc.greater_equal(time, _scalar(start)), pc.less(time, _scalar(end))))
    keys = rows.select([*view.entity, "event_time"])
    if keys.group_by(keys.column_names).aggregate([]).num_rows < keys.num_rows:
        raise UserError(f"feature view {view.name!r} yields several rows for one entity and event time; aggregate them")
    return rows


def no_rows(config: ProblemConfig, table: str) -> pa.Table:
    """Return a raw table as it is declared, without a row."""
    columns = config.tables[table].columns
    return pa.table({name: pa.array([], ARROW_TYPES[column.type]) for name, column in columns.items()})


def effective_time(view: FeatureView, event_time: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the effective times of rows with these event times: the first materialisation after they arrived.

    Strictly after: the materialisation at noon takes rows from before noon, as an ingest of days excludes its end.
    """
    every, delay = (span // timedelta(microseconds=1) for span in (view.every, view.delay))
    arrived = pc.add(event_time.cast(pa.int64()), delay)
    return pc.multiply(pc.add(pc.divide(arrived, every), 1), every).cast(TIMESTAMP)


def _run(view: FeatureView, sources: Mapping[str, pa.Table]) -> pa.Table:
    wanted = [*view.entity, "event_time", *view.features]
    if view.python is not None:
        frame = _called(view, sources)
        missing = [column for column in wanted if column not in frame]
        if missing:
            raise UserError(f"feature view {view.name!r} does not return {', '.join(missing)}")
        try:
            return pa.Table.from_pandas(frame[wanted], preserve_index=False)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"the function of feature view {view.name!r} mixes types in a column: {error}") from error
    with session(**sources) as connection:
        try:
            columns = ", ".join(f'"{column}"' for column in wanted)
            return connection.sql(f"SELECT {columns} FROM ({view.sql})").to_arrow_table()
        except duckdb.Error as error:
            raise UserError(f"the SQL of feature view {view.name!r} fails: {error}") from error


def _called(view: FeatureView, sources: Mapping[str, pa.Table]) -> Any:
    assert view.python is not None, "a view of Python has a function"
    try:
        return view.python(*(rows.to_pandas() for rows in sources.values()))
    except KeyError as error:
        lacking = f"which {' and '.join(map(repr, sources))} {'lacks' if len(sources) == 1 else 'lack'}"
        raise UserError(f"the function of feature view {view.name!r} wants {error}, {lacking}") from error


def _converted(view: FeatureView, rows: pa.Table) -> pa.Table:
    """Return what a view computed in the types of its table: entities as text, numbers as float32."""
    kinds = dict.fromkeys(view.entity, "string") | {"event_time": "timestamp"}
    kinds |= {name: "string" if kind is CATEGORICAL else "float" for name, kind in view.features.items()}
    values, faults = convert(rows, kinds)
    numbers = [name for name, kind in kinds.items() if kind == "float" and name in values.column_names]
    narrow = {name: values[name].cast(pa.float32()) for name in numbers}
    for name, column in narrow.items():
        row = pc.index(pc.is_inf(column), True).as_py()
        if row >= 0:
            faults.append(Fault(name, "must be finite as float32", row, values[name][row].as_py()))
    if faults:
        lines = [f"  {fault.told()}" for fault in faults]
        raise DataError("\n".join([f"feature view {view.name!r} computes values that no model takes:", *lines]))
    return pa.table({name: narrow.get(name, values[name]) for name in (*view.entity, "event_time", *view.features)})


def _scalar(time: datetime) -> pa.Scalar:
    return pa.scalar(time, TIMESTAMP)
