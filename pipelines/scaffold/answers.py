"""The answers: what only people know about a problem, from flags or questions, checked against the sample."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Task, UserError, nearest
from pipelines.feature.conversion import without_nan
from pipelines.scaffold.profile import ColumnProfile
from pipelines.scaffold.sample import Sample
from pipelines.storage.sql import session
from pipelines.storage.tables import TIMESTAMP


class InterviewAnswers(NamedTuple):
    """The answers of a person, with columns by their valid names.

    ``key``: one column, several that name a request together, or none where nothing does and the rows are numbered.
    ``zone``: the time zone that the hours of the day are those of. ``label``: an expression over columns.
    ``label_time``: the column that says when the label was known, or None, and then it is ``label_delay`` after the
    request. ``outcomes``: further columns that are known only then. ``costs``: by the name in ``[business]``.
    """

    name: str
    title: str
    goal: str
    owner: str
    task: Task
    key: tuple[str, ...]
    event_time: str
    label: str
    label_time: str | None
    label_delay: timedelta | None
    outcomes: tuple[str, ...]
    entities: tuple[str, ...]
    personal: tuple[str, ...]
    currency: str
    costs: Mapping[str, float]
    zone: str = "UTC"


def resolve(sample: Sample, name: str, what: str) -> str:
    """Return the valid name of a column, which may be given by its name in the file.

    Raises:
        UserError: when there is no such column.
    """
    by_file = {given: valid for valid, given in sample.given.items()}
    if name in sample.given or name in by_file:
        return name if name in sample.given else by_file[name]
    raise UserError(f"{what}: there is no column {name!r}; {nearest(name, {*sample.given, *by_file})}")


def columns_of(expression: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that an SQL expression reads."""
    words = set(re.findall(r"\w+", re.sub(r"'[^']*'", "", expression).lower()))
    return [name for name in columns if name in words]


def labels(sample: Sample, label: str) -> pa.ChunkedArray:
    """Return the label of each row as a number, null where it has none: where it is missing or NaN.

    Raises:
        UserError: when the expression cannot be computed, is infinite for a row, or is the same for all rows.
    """
    with session(sample=sample.rows) as connection:
        try:
            found = connection.sql(f"SELECT CAST(({label}) AS DOUBLE) AS label FROM sample").to_arrow_table()["label"]
        except duckdb.Error as error:
            raise UserError(f"the label {label!r} is not always a number: {_hint(sample, label, error)}") from error
    found = without_nan(found)
    if infinite := pc.sum(pc.is_inf(found)).as_py():
        raise UserError(
            f"the label {label!r} is infinite for {infinite:,} rows; say what it is there, or that there is "
            f'none, such as "CASE WHEN isfinite({label}) THEN {label} END"'
        )
    distinct = pc.unique(found.drop_null())
    if len(distinct) < 2:
        told = f"is {distinct[0].as_py():g} for every row" if len(distinct) else "is missing in every row"
        raise UserError(f"the label {label!r} {told}: there is nothing to learn. Choose another --label or sample")
    return found


def _hint(sample: Sample, label: str, error: Exception) -> str:
    if label in sample.given:
        values = sorted(map(str, pc.unique(sample.rows[label].drop_null()).to_pylist()))[:3]
        example = f"{label} = '{values[0]}'"
        return f'it is text with values such as {", ".join(values)}; write an expression, such as "{example}"'
    return f"{str(error).splitlines()[0]}. It may use the columns {', '.join(sample.given)}"


def suggested_task(found: pa.ChunkedArray) -> Task:
    """Return the task of the labels: classification if they are 0 and 1 alone."""
    return Task.BINARY if set(pc.unique(found.drop_null()).to_pylist()) <= {0.0, 1.0} else Task.REGRESSION


def suggested_key(sample: Sample, profiles: Mapping[str, ColumnProfile], event_time: str) -> tuple[str, ...] | None:
    """Return columns that name the rows: a unique one of text or whole numbers, else one with the time; else None."""
    fit = [p for p in profiles.values() if p.type in {"string", "integer"} and not (p.personal or p.missing)]
    called = [p.name for p in fit if re.search(r"(^|_)(id|key|uuid)$", p.name)]
    unique = [p.name for p in fit if p.unique]
    if unique:
        return (next((name for name in called if name in unique), unique[0]),)
    entities = suggested_entities(profiles, [])
    pairs = [(name, event_time) for name in dict.fromkeys([*called, *entities, *(p.name for p in fit)])]
    return next((key for key in [(event_time,), *pairs] if not _repeated(sample, key).num_rows), None)


def suggested_times(profiles: Mapping[str, ColumnProfile]) -> list[str]:
    """Return the columns that can be the event time of a request."""
    return [p.name for p in profiles.values() if p.type == "timestamp" and not p.missing]


def suggested_entities(profiles: Mapping[str, ColumnProfile], but: Sequence[str]) -> list[str]:
    """Return text columns that may be entities: with so few values that each occurs often."""
    return [
        p.name
        for p in profiles.values()
        if p.type == "string" and p.name not in but and not (p.missing or p.personal) and 2 <= p.distinct <= p.rows / 20
    ]


def check(sample: Sample, profiles: Mapping[str, ColumnProfile], answers: InterviewAnswers) -> None:
    """Check the answers against the sample.

    Raises:
        UserError: listing everything that does not fit.
    """
    wrong = [
        *wrong_event_time(sample, profiles, answers.event_time),
        *wrong_key(sample, profiles, answers.key, answers.personal),
    ]
    found = labels(sample, answers.label)
    if answers.task is Task.BINARY and suggested_task(found) is not Task.BINARY:
        wrong.append(f'label: a classification has labels 0 and 1, {answers.label!r} has others; such as "x > 15"')
    read = columns_of(answers.label, list(sample.given))
    known_later = {*read, *answers.outcomes, *([answers.label_time] if answers.label_time else [])}
    wrong += [
        f"{name} is known only with the label, so it can be neither key, event time nor entity"
        for name in sorted(known_later & {answers.event_time, *answers.key, *answers.entities})
    ]
    wrong += [
        f"entity: {name} is missing in some rows, or personal; an entity is neither"
        for name in answers.entities
        if profiles[name].missing or name in answers.personal
    ]
    if answers.label_time and not wrong:
        wrong += wrong_label_time(sample, profiles, answers.event_time, answers.label_time)
    if wrong:
        raise UserError("\n".join(wrong))


def wrong_label_time(
    sample: Sample, profiles: Mapping[str, ColumnProfile], event_time: str, label_time: str
) -> list[str]:
    """Return why a column cannot say when the label was known: it is no time, or before the request."""
    if profiles[label_time].type != "timestamp":
        return [f"label time: {label_time} is {profiles[label_time].type}, not a time"]
    if pc.any(pc.less(sample.rows[label_time], sample.rows[event_time])).as_py():
        return [f"label time: {label_time} is before {event_time} in some rows"]
    return []


def wrong_event_time(sample: Sample, profiles: Mapping[str, ColumnProfile], name: str) -> list[str]:
    """Return why a column cannot be the event time: it is no time, or missing in some rows."""
    asked = profiles[name]
    if asked.type != "timestamp":
        mixed = next((note for note in sample.notes if note.startswith(f"{asked.name} holds times")), "")
        advice = mixed or "write it as ISO 8601, such as 2024-03-01T07:00:00Z, or give --time-format '%d.%m.%Y %H:%M'"
        return [f"event time: {asked.name} is {asked.type} (such as {asked.examples[0]!r}), not a time; {advice}"]
    return [f"event time: {asked.name} is missing in {asked.missing:,} rows"] if asked.missing else []


def wrong_key(
    sample: Sample, profiles: Mapping[str, ColumnProfile], key: Sequence[str], personal: Sequence[str] = ()
) -> list[str]:
    """Return why columns cannot name a request: personal, missing in some rows, or the same in several."""
    wrong = [f"key: {name} is personal, and the key is logged" for name in key if name in personal]
    wrong += [f"key: {name} is missing in some rows" for name in key if profiles[name].missing]
    several = _repeated(sample, key)
    if several.num_rows:
        row = several.slice(0, 1).to_pylist()[0]
        example = ", ".join(f"{name} {row[name]}" for name in key)
        wrong.append(
            f"key: {several.num_rows:,} values of {', '.join(key)} are there several times, such as {example}; "
            "a key names one request. Choose another, several columns together, such as station,asked_at, or 'none' "
            "to number the rows"
        )
    return wrong


def _repeated(sample: Sample, key: Sequence[str]) -> pa.Table:
    """Return the values of a key that several rows have."""
    if not key:
        return pa.table({"count_all": pa.array([], pa.int64())})
    counted = pa.table({name: as_text(sample, name) for name in key}).group_by(list(key)).aggregate([([], "count_all")])
    return counted.filter(pc.greater(counted["count_all"], 1))


def as_text(sample: Sample, name: str) -> pa.ChunkedArray:
    """Return a column as text: as it stands in the file, or a time in UTC as ISO 8601."""
    values = sample.rows[name]
    if values.type == TIMESTAMP:
        seconds = values.cast(pa.timestamp("s", "UTC"), safe=False)
        return pc.strftime(seconds if seconds.cast(TIMESTAMP).equals(values) else values, "%Y-%m-%dT%H:%M:%SZ")
    if name not in sample.texts:
        return values.cast(pa.string())
    return pc.if_else(pc.is_valid(values), sample.texts[name], pa.scalar(None, pa.string()))


def known_at(sample: Sample, answers: InterviewAnswers) -> pa.ChunkedArray:
    """Return when each row's label was known."""
    if answers.label_time:
        return sample.rows[answers.label_time]
    assert answers.label_delay is not None, "one of the two is given"
    micros = answers.label_delay // timedelta(microseconds=1)
    return pc.add(sample.rows[answers.event_time].cast(pa.int64()), micros).cast(TIMESTAMP)
