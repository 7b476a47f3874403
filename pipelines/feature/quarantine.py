"""The quarantine: rows that break their table's contract, kept apart with the rules they break until they keep it.

Rows of ``raw.NAME`` go to ``quarantine.NAME``, whose days are replaced whenever they are ingested again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.data_quality import Violation, column_violations
from pipelines.config import Problem, RawTable, UserError, reserved
from pipelines.feature import FeatureParams, Readmission, knowledge, other_days, schema
from pipelines.storage.tables import TIMESTAMP, Tables

DAY, RULE, RUN, KNOWN_AT = reserved.QUARANTINE
_PLACE = "place "  # no column of a problem has this name

Found = Mapping[str, Sequence[Violation]]
"""The violations of each table."""


def violations(problem: Problem, tables: Tables, raw: Mapping[str, pa.Table], start: datetime, end: datetime) -> Found:
    """Return what the rows break that are to replace those of ``[start, end)``: values, keys used again, early labels.

    A label is held against requests that break nothing themselves, and the other way round.
    """
    found, sound = dict[str, list[Violation]](), dict[str, pa.Array]()
    for name, rows in raw.items():
        contract = problem.config.tables[name]
        found[name] = column_violations(rows, contract.columns)
        found[name] += other_days.used_elsewhere(tables, name, rows, contract, start, end)
        sound[name] = pc.indices_nonzero(pc.invert(_broken(rows, found[name])))
    kept = {name: rows.take(sound[name]) for name, rows in raw.items()}
    for name, violation in other_days.early_labels(problem, tables, kept, start, end):
        found[name].append(violation._replace(at=sound[name].take(violation.at)))
    return found


def refuse_beyond(params: FeatureParams, problem: Problem, raw: Mapping[str, pa.Table], found: Found) -> None:
    """Raise when more of a day's rows break the contract than may go into quarantine, or a rule of no single row.

    Raises:
        UserError: listing the violations of the tables of which that holds.
    """
    beyond = {
        name: days
        for name, broken in found.items()
        if (days := _days_beyond(params, problem.config.tables[name], raw[name], broken)) is not None
    }
    if beyond:
        lines = [f"  {name}.{violation}" for name in beyond for violation in found[name]]
        lines += [f"  {name}: {said}" for name, said in beyond.items() if said]
        days = f"{params.start:%Y-%m-%d} to {params.end:%Y-%m-%d}"
        advice = "Nothing was written. Fix the source, or the contract in problem.toml if the change is intended."
        raise UserError("\n".join([f"The rows of {days} break the data contract:", *lines, advice]))


def split(
    rows: pa.Table, broken: Sequence[Violation], contract: RawTable, start: datetime
) -> tuple[pa.Table, pa.Table]:
    """Return the rows that break nothing, and the others with their days and the rules that they break."""
    rules: dict[int, list[str]] = {}
    for violation in broken:
        for place in violation.at.to_pylist() if violation.at is not None else ():
            rules.setdefault(place, []).append(f"{violation.column}: {violation.rule}")
    places = pa.array(sorted(rules), pa.int64())
    apart = rows.take(places)
    apart = apart.append_column(DAY, _days(apart[contract.event_time], start))
    texts = pa.array(["; ".join(rules[place]) for place in sorted(rules)], pa.string())
    return rows.filter(pc.invert(_broken(rows, broken))), apart.append_column(RULE, texts)


def replace(
    tables: Tables, name: str, rows: pa.Table, start: datetime, end: datetime, run_id: str, moment: datetime
) -> None:
    """Make rows, with days and rules, the quarantine of ``[start, end)``; those that are there stay as they came."""
    schema = rows.schema.append(pa.field(RUN, pa.string())).append(pa.field(KNOWN_AT, TIMESTAMP))

    def revision(present: pa.Table, _properties: Mapping[str, str]) -> tuple[pa.Table, Mapping[str, str]]:
        stay, news = knowledge.common(present, rows), knowledge.absent(rows, present)
        news = news.append_column(RUN, pa.repeat(pa.scalar(run_id, pa.string()), news.num_rows))
        news = news.append_column(KNOWN_AT, pa.repeat(pa.scalar(moment, TIMESTAMP), news.num_rows))
        return pa.concat_tables([part.select(schema.names).cast(schema) for part in (stay, news)]), {}

    tables.revise(f"quarantine.{name}", schema, DAY, start, end, revision)


def quarantined(tables: Tables, name: str, wanted: Readmission | None = None) -> pa.Table | None:
    """Return the rows in a table's quarantine, or those that are wanted; None when it never had one."""
    if tables.snapshot(f"quarantine.{name}") is None:
        return None
    rows = tables.read(f"quarantine.{name}")
    return rows if wanted is None else rows.filter(_matching(rows, wanted))


class Readmitted(NamedTuple):
    """How many rows left the quarantine, how many of these days stay, and from when the change is known."""

    left: int
    stay: int
    changed_at: datetime | None


def readmit(
    params: FeatureParams, problem: Problem, tables: Tables, wanted: Readmission, moment: datetime
) -> Readmitted:
    """Ingest the wanted rows of these days that keep the contract as it stands now; they are known from ``moment``.

    Rows leave the quarantine after they came to the raw table, and one that is there already is not added again: so
    what a killed process left undone is done by the next.
    """
    name, contract = f"raw.{wanted.table}", problem.config.tables[wanted.table]
    found = quarantined(tables, wanted.table)
    if found is None:
        return Readmitted(0, 0, None)
    seen = tables.snapshot(name)
    low, high = (pa.scalar(time, TIMESTAMP) for time in (params.start, params.end))
    found = found.filter(pc.and_(pc.greater_equal(found[DAY], low), pc.less(found[DAY], high)))
    there = schema.read(tables, wanted.table, contract, start=params.start, end=params.end)
    without_defaults = {name: column.model_copy(update={"default": None}) for name, column in contract.columns.items()}
    rows = schema.as_declared(f"quarantine.{wanted.table}", found, without_defaults)
    rows = rows.append_column(_PLACE, pa.array(range(rows.num_rows), pa.int64()))
    waiting = knowledge.absent(rows, there)
    candidates, notes = waiting.select(list(contract.columns)), found.take(waiting[_PLACE])
    broken = violations(problem, tables, {wanted.table: candidates}, params.start, params.start)[wanted.table]
    chosen = pc.and_(pc.invert(_broken(candidates, broken)), _matching(notes, wanted))
    stays = pc.is_in(rows[_PLACE], value_set=waiting[_PLACE].filter(pc.invert(chosen)).combine_chunks())
    admitted, changed = candidates.filter(chosen), list[datetime]()
    days = notes[DAY].filter(chosen)
    for day in sorted(pc.unique(days).to_pylist()):
        of_day = admitted.filter(pc.equal(days, pa.scalar(day, TIMESTAMP)))
        check = partial(
            other_days.refuse_used_meanwhile, tables, wanted.table, of_day, contract, params.start, params.start, seen
        )
        done = knowledge.ingest(
            tables, name, of_day, contract, day, day + timedelta(days=1), moment, check, beside=True
        )
        changed += [done.changed_at] if done.changed_at else []
    _remove(tables, wanted.table, found.filter(pc.invert(stays)), params)
    stay = pc.sum(stays, min_count=0).as_py()
    return Readmitted(found.num_rows - stay, stay, max(changed, default=None))


def _remove(tables: Tables, name: str, rows: pa.Table, params: FeatureParams) -> None:
    def revision(present: pa.Table, _properties: Mapping[str, str]) -> tuple[pa.Table, Mapping[str, str]]:
        return knowledge.absent(present, rows).select(rows.column_names).cast(rows.schema), {}

    tables.revise(f"quarantine.{name}", rows.schema, DAY, params.start, params.end, revision)


def _broken(rows: pa.Table, broken: Sequence[Violation]) -> pa.Array:
    """Say of each row whether it breaks a rule."""
    places = [violation.at for violation in broken if violation.at is not None]
    bad = pa.concat_arrays([place.cast(pa.int64()) for place in places]) if places else pa.array([], pa.int64())
    return pc.is_in(pa.array(range(rows.num_rows), pa.int64()), value_set=bad)


def _days(times: pa.ChunkedArray, start: datetime) -> pa.ChunkedArray:
    """Return the day of each row; one without a time belongs to the first day that was asked for."""
    return pc.fill_null(pc.floor_temporal(times, unit="day"), pa.scalar(start, TIMESTAMP))


def _days_beyond(params: FeatureParams, contract: RawTable, rows: pa.Table, broken: Sequence[Violation]) -> str | None:
    """Return what to say of the days that have more broken rows than the quarantine takes; None when there are none."""
    if not broken:
        return None
    if any(violation.at is None for violation in broken):
        return ""
    days = _days(rows[contract.event_time], params.start)
    of_day = Counter(days.to_pylist())
    bad = Counter(days.filter(_broken(rows, broken)).to_pylist())
    beyond = [day for day in sorted(bad) if bad[day] / of_day[day] > contract.quarantine]
    if not beyond:
        return None
    if not contract.quarantine:
        return ""
    shown = ", ".join(f"{day:%Y-%m-%d}: {bad[day]:,} of {of_day[day]:,}" for day in beyond[:3])
    return f"{len(beyond)} days have more broken rows than the {contract.quarantine:.3g} for the quarantine ({shown})"


def _matching(rows: pa.Table, wanted: Readmission) -> pa.Array:
    """Say of each quarantined row whether it is wanted."""
    rules, runs = rows[RULE].to_pylist(), rows[RUN].to_pylist()
    part = (wanted.rule or "").lower()
    return pa.array(
        [
            part in rule.lower() and (wanted.run is None or wanted.run == run)
            for rule, run in zip(rules, runs, strict=True)
        ],
        pa.bool_(),
    )
