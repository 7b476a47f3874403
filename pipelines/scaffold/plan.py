"""The plan: derives periods, gates, monitors, canary and replay from the number of rows and their time span."""

import math
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Task, UserError, format_duration
from pipelines.scaffold.answers import InterviewAnswers
from pipelines.scaffold.check import fewest_rows
from pipelines.scaffold.tables import KNOWN_AT, RawTables
from pipelines.storage.sql import session

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MIN_ROWS = 50
_REPLAY_DAYS = 30  # a replay of fewer shows little
_WINDOWS = (6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 28 * DAY)
_ENOUGH = 20  # outcomes of an entity that a rolling mean should rest on


class ProblemPlan(NamedTuple):
    """Durations in the form of problem.toml, days, counts, and bounds of metrics.

    ``busiest`` is the day with the most labelled rows; None where no day has enough to fit an estimator on.
    """

    first: date
    end: date
    busiest: date | None
    rows: int
    delay: str
    min_rows_per_day: int
    validation: str
    test: str
    gates: dict[str, str]
    metric: str
    block: str
    min_rows: int
    tolerance: float
    bias: float
    constant: str
    window: str
    min_labels: int
    coverage: float
    bake: str
    min_predictions: int
    min_samples_leaf: int
    rolling: int
    replay: dict[str, date] | None


def check_size(rows: int) -> None:
    """Raise a UserError when a sample has too few rows."""
    if rows < MIN_ROWS:
        raise UserError(f"the sample has too few rows, {rows}; {MIN_ROWS} are needed to derive periods and gates from")


def plan(answers: InterviewAnswers, tables: RawTables, label: pa.ChunkedArray) -> ProblemPlan:
    """Derive the plan; ``label`` holds the labels of all rows.

    Raises:
        UserError: when the sample is too short for the delay of its labels.
    """
    asked = tables.requests[answers.event_time]
    start, last = (bound.as_py() for bound in pc.min_max(asked).values())
    end = (last + DAY).date() if last.date() != start.date() else start.date() + DAY
    span = last - start
    delay = _delay(answers, tables)
    validation, test = periods(span, delay)
    per_day = len(asked) / (span / DAY)
    values = label.drop_null().to_numpy()
    window = max(test, 2 * _whole(delay, DAY))
    return ProblemPlan(
        first=start.date(),
        end=end,
        busiest=_busiest(answers, tables),
        rows=len(asked),
        delay=format_duration(delay),
        min_rows_per_day=_min_rows(asked),
        validation=format_duration(validation),
        test=format_duration(test),
        gates=_gates(answers.task, values),
        metric="log_loss" if answers.task is Task.BINARY else "mae",
        block="1d" if test >= 4 * DAY else "1h",
        min_rows=_between(per_day * (test / DAY) / 4, 20, 500),
        tolerance=1e-4 if answers.task is Task.BINARY else float(f"{max(1e-4, 1e-5 * np.abs(values).max()):.0e}"),
        bias=_rounded(max(0.02, values.mean() * 0.3) if answers.task is Task.BINARY else values.std() * 0.3),
        constant=_constant(answers.task, values),
        window=format_duration(window),
        min_labels=_between(per_day * (window / DAY) / 4, 20, 10_000),
        coverage=_rounded(max(0.1, tables.outcomes.num_rows / len(asked) * 0.9), 2),
        bake=format_duration(max(DAY, _whole(delay, DAY))),
        min_predictions=_between(per_day / 20, 20, 200),
        min_samples_leaf=_between(len(asked) / 500, 5, 200),
        rolling=_rolling(answers, tables, span),
        replay=_replay(start.date(), end, span),
    )


def periods(span: timedelta, delay: timedelta) -> tuple[timedelta, timedelta]:
    """Return the periods of validation and test of a sample: twice the delay of the labels, or more.

    Raises:
        UserError: when the sample is too short for the delay of its labels.
    """
    unit = DAY if span >= 20 * DAY else HOUR
    validation = max(_whole(span * 0.1, unit), _whole(delay * 2, unit))
    test = max(_whole(span * 0.2, unit), _whole(delay * 2, unit))
    if span < 2 * DAY or validation + test > span * 0.7:
        needed = max(2 * DAY, _whole((validation + test) / 0.7, DAY))
        raise UserError(
            f"the sample spans {format_duration(_whole(span, HOUR))}; labels that come {format_duration(delay)} late "
            f"need at least {needed.days} days, to train, validate and test on"
        )
    return validation, test


def _delay(answers: InterviewAnswers, tables: RawTables) -> timedelta:
    """Return the time after which 95 % of the labels are known, in whole hours; or the delay that was stated."""
    if answers.label_delay is not None:
        return answers.label_delay
    with session(requests=tables.requests, outcomes=tables.outcomes) as connection:
        late = f"""SELECT quantile_cont(epoch({KNOWN_AT}) - epoch("{answers.event_time}"), 0.95)
            FROM requests JOIN outcomes USING ("{tables.key}")"""
        (seconds,) = connection.sql(late).fetchall()[0]
    return _whole(timedelta(seconds=seconds), HOUR)


def _busiest(answers: InterviewAnswers, tables: RawTables) -> date | None:
    """Return the first of the UTC days with the most labelled requests that are enough to fit an estimator on."""
    with session(requests=tables.requests, outcomes=tables.outcomes) as connection:
        days = f"""
            SELECT CAST("{answers.event_time}" AS DATE), count(*) FROM requests
            JOIN (SELECT "{tables.key}", ({answers.label}) AS label FROM outcomes) USING ("{tables.key}")
            GROUP BY 1 HAVING count(*) >= $fewest AND count(DISTINCT label) >= 2 ORDER BY 2 DESC, 1 LIMIT 1"""
        found = connection.sql(days, params={"fewest": fewest_rows(answers.task)}).fetchall()
    return found[0][0] if found else None


def _min_rows(asked: pa.ChunkedArray) -> int:
    """Return half the rows of the day with the fewest; 0 when a day has none."""
    counts = pc.value_counts(asked.cast(pa.date32())).field("counts").to_numpy()
    first, last = (bound.as_py().date() for bound in pc.min_max(asked).values())
    return int(counts.min()) // 2 if len(counts) == (last - first).days + 1 else 0


def _gates(task: Task, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> dict[str, str]:
    if task is Task.REGRESSION:
        return {"r2": "{ min = 0.0 }", "mae": f"{{ max = {_up(np.abs(values - np.median(values)).mean()):g} }}"}
    share = values.mean()
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return {"roc_auc": "{ min = 0.55 }", "log_loss": f"{{ max = {_up(entropy):g} }}"}


def _constant(task: Task, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    if task is Task.BINARY:
        return f"always saying {values.mean():.3g}, the share of the event"
    return f"always saying {np.median(values):.4g}, the median"


def _rolling(answers: InterviewAnswers, tables: RawTables, span: timedelta) -> int:
    """Return the number of hours to average an entity's outcomes over: the fewest that hold enough of them."""
    entities = max((tables.request_profiles[name].distinct for name in answers.entities), default=1)
    rate = tables.outcomes.num_rows / entities / (span / HOUR)
    fit = [window for window in _WINDOWS if window <= span / 4] or [_WINDOWS[0]]
    return next((window for window in fit if rate * (window / HOUR) >= _ENOUGH), fit[-1]) // HOUR


def _replay(first: date, end: date, span: timedelta) -> dict[str, date] | None:
    """Return the days of the demo's replay; none when the sample is too short for one."""
    if span < _REPLAY_DAYS * DAY:
        return None
    start = first + timedelta(days=round(span.days * 0.6))
    left = (end - start).days
    days = {"bad_release": 0.5, "fast_end": 0.7, "end": 1.0}
    return {"history": first, "start": start, **{k: start + timedelta(days=round(left * v)) for k, v in days.items()}}


def _whole(span: timedelta, unit: timedelta) -> timedelta:
    return math.ceil(span / unit) * unit


def _between(value: float, low: int, high: int) -> int:
    """Return an integer with two significant digits, within bounds."""
    return int(min(high, max(low, float(f"{value:.1e}"))))


def _rounded(value: float, digits: int = 2) -> float:
    return float(f"{value:.{digits}g}")


def _up(value: float) -> float:
    """Return the value rounded up to three significant digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return float(f"{math.ceil(value / step) * step:.3g}")
