"""Step 11: compute the feature views from raw rows, by the SQL or Python that ``model/features.py`` declares."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import CATEGORICAL, DataError, FeatureView, Problem, ProblemConfig, UserError
from pipelines.feature import FeatureParams, Snapshots, knowledge
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
        snapshot = ingested.snapshots.get(f"raw.{view.table}")
        if snapshot is None:  # the source has not delivered a row of it yet
            continue
        until = complete[name]
        start = params.start if until == latest else min(params.start, until or _BEGINNING)
        try:
            found[name] = view_rows(params, problem, tables, view, snapshot, start)
        except Exception as error:  # whatever the code of another day does
            if TODAY in by:
                raise
            log.error("not computed view=%s for=%s reason=%s: %s", name, ", ".join(by), type(error).__name__, error)
    return found


def view_rows(
    params: FeatureParams, problem: Problem, tables: Tables, view: FeatureView, snapshot: int, start: datetime
) -> pa.Table:
    """Return a view's rows from ``start`` to the last day that looks back on these, from one snapshot of its raw table.

    They are versions, with the columns of :mod:`pipelines.feature.knowledge`.

    Raises:
        UserError: as :func:`compute`.
    """
    time = problem.config.tables[view.table].event_time
    raw = tables.read(
        f"raw.{view.table}",
        time=time,
        start=None if start == _BEGINNING else start - view.lookback,
        end=params.end + view.lookback,
        snapshot=snapshot,
        versions=True,
    )
    return compute_versions(view, raw, time, start, params.end + view.lookback)


def compute_versions(view: FeatureView, raw: pa.Table, time: str, start: datetime, end: datetime) -> pa.Table:
    """Return the versions of a view's rows with event times in ``[start, end)``, from versions of raw rows.

    The view is computed on what was known first, and again, around what changed, for each moment at which it did.
    """
    rows = knowledge.since_they_happened(compute(view, knowledge.known_at(raw, None), start, end))
    for moment in knowledge.moments(raw):
        touched = pc.min_max(knowledge.changed_at(raw, moment)[time]).as_py()
        first = max(start, _taken_together(view, touched["min"])[0])
        last = min(end, _taken_together(view, touched["max"] + view.lookback)[1])
        if first >= last:
            continue
        known = knowledge.known_at(_between(raw, time, first - view.lookback, last), moment)
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


def compute(view: FeatureView, raw: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """Return a view's rows with event times in ``[start, end)``: entity, event time, features, effective time.

    Of an entity's rows with the same effective time only the last, because no other is ever served.

    Raises:
        UserError: when the view yields two rows for one entity and time, or not the columns it declares.
    """
    rows = _converted(view, _run(view, raw))
    time = rows["event_time"]
    rows = rows.filter(pc.and_(pc.greater_equal(time, _scalar(start)), pc.less(time, _scalar(end))))
    keys = rows.select([*view.entity, "event_time"])
    if keys.group_by(keys.column_names).aggregate([]).num_rows < keys.num_rows:
        raise UserError(f"feature view {view.name!r} yields several rows for one entity and event time; aggregate them")
    return last_effective(view, rows.append_column("effective_time", effective_time(view, rows["event_time"])))


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


def _run(view: FeatureView, raw: pa.Table) -> pa.Table:
    wanted = [*view.entity, "event_time", *view.features]
    if view.python is not None:
        frame = _called(view, raw)
        missing = [column for column in wanted if column not in frame]
        if missing:
            raise UserError(f"feature view {view.name!r} does not return {', '.join(missing)}")
        try:
            return pa.Table.from_pandas(frame[wanted], preserve_index=False)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"the function of feature view {view.name!r} mixes types in a column: {error}") from error
    with session(**{view.table: raw}) as connection:
        try:
            columns = ", ".join(f'"{column}"' for column in wanted)
            return connection.sql(f"SELECT {columns} FROM ({view.sql})").to_arrow_table()
        except duckdb.Error as error:
            raise UserError(f"the SQL of feature view {view.name!r} fails: {error}") from error


def _called(view: FeatureView, raw: pa.Table) -> Any:
    assert view.python is not None, "a view of Python has a function"
    try:
        return view.python(raw.to_pandas())
    except KeyError as error:
        raise UserError(
            f"the function of feature view {view.name!r} wants {error}, which {view.table!r} lacks"
        ) from error


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
