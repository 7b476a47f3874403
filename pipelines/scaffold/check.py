"""Checks a problem package and lists all faults: ``problem.toml``, features, estimators, SQL, the rows of a day."""

import importlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureView, Problem, Resumable, Task, UserError, format_duration, nearest
from pipelines.feature import FeatureParams
from pipelines.feature.conversion import declared
from pipelines.feature.engineer import compute, no_rows
from pipelines.feature.extract import extract
from pipelines.feature.labels import checked
from pipelines.feature.point_in_time import join
from pipelines.feature.request import from_table, request_features
from pipelines.feature.validate import validate
from pipelines.storage.sql import session
from pipelines.training.train import inputs, new_estimator, predict

_DAY = timedelta(days=1)


def errors(package: str, day: datetime | None) -> list[str]:
    """Return the faults of a problem; ``day`` is a UTC day whose rows to try it on."""
    try:
        problem = Problem.load(package)
    except UserError as error:
        return [*str(error).splitlines(), *_unimportable(package)]
    found = [line for check in (_features, _estimators, _label, _periods, _views) for line in _told(check, problem)]
    if day and not found:
        found += _told(lambda one: _on_rows(one, day), problem)
    return list(dict.fromkeys(found))


def fewest_rows(task: Task) -> int:
    """Return how many labelled requests a day must have for a trial fit: 5 of each class, or 5."""
    return 10 if task is Task.BINARY else 5


def summary(problem: Problem) -> list[str]:
    """Return a summary of a valid problem, in lines."""
    config = problem.config
    return [
        f"{config.name}: {config.task.value}, {', '.join(f'table {name}' for name in config.tables)}",
        f"a request is a row of {config.request.table}, named by {config.key}, asked at {config.event_time}",
        f"the label is {config.label.sql}, from {config.label.table}",
        f"{len(problem.features)} features, {len(problem.views)} feature views",
        f"estimators: {', '.join(config.training.estimators)}",
    ]


def _told(check: Callable[[Problem], Iterator[str]], problem: Problem) -> list[str]:
    """Return the faults that a check finds; an error of the package's own code comes with its type."""
    lines: list[str] = []
    try:
        lines.extend(check(problem))
    except UserError as error:
        lines.extend(str(error).splitlines())
    except Exception as error:  # the package is not ours: whatever it raises is a fault of it
        lines.append(f"{problem.package}: {type(error).__name__}: {error}")
    return lines


def _unimportable(package: str) -> Iterator[str]:
    for module in ("source", "features", "estimators"):
        try:
            importlib.import_module(f"{package}.{module}")
        except Exception as error:
            yield f"{package}/{module}.py: {type(error).__name__}: {error}"


def _features(problem: Problem) -> Iterator[str]:
    config = problem.config
    _ = problem.read
    for name in config.slices:
        if name not in problem.features:
            yield f"slices: no feature {name!r}; {nearest(name, problem.features)}"
    if config.replay and config.replay.bad_release_feature not in problem.features:
        given = config.replay.bad_release_feature
        yield f"replay.bad_release_feature: no feature {given!r}; {nearest(given, problem.features)}"


def _estimators(problem: Problem) -> Iterator[str]:
    training = problem.config.training
    for name in dict.fromkeys([*training.estimators, *training.settings]):
        if name not in problem.estimators:
            yield f"training: estimators.py has no estimator {name!r}; {nearest(name, problem.estimators)}"
            continue
        try:
            problem.estimators[name](problem.features, training.seed, **training.settings.get(name, {}))
        except TypeError as error:
            yield f"training.settings.{name}: {error}"


def _label(problem: Problem) -> Iterator[str]:
    label = problem.config.label
    with session(**{label.table: no_rows(problem.config, label.table)}) as connection:
        try:
            kind = str(connection.sql(f'SELECT ({label.sql}) AS label FROM "{label.table}"').types[0])
            connection.sql(f'SELECT CAST(({label.sql}) AS DOUBLE) FROM "{label.table}"')
            if kind == "VARCHAR":
                yield f"label.sql: {label.sql!r} is text; compare it with what is the event, as in \"outcome = 'late'\""
        except duckdb.Error as error:
            yield f"label.sql: {str(error).splitlines()[0]}"


def _periods(problem: Problem) -> Iterator[str]:
    """A row counts only when its label was known by the end of its period: a period within the delay has none."""
    training, delay = problem.config.training, problem.config.label.delay
    for name, length in (("validation", training.validation), ("test", training.test)):
        if length <= delay:
            yield (
                f"training.{name}: {format_duration(length)} is no longer than label.delay, {format_duration(delay)}, "
                f"so no label of the period is known by its end; write {format_duration(2 * delay)} or more"
            )


def _views(problem: Problem) -> Iterator[str]:
    """Try the SQL of each view on a table without rows; views in Python need rows to be tried."""
    for view in problem.views:
        if view.sql is not None:
            yield from _told(partial(_view, view), problem)


def _view(view: FeatureView, problem: Problem) -> Iterator[str]:
    moment = datetime.fromisoformat("2000-01-01T00:00:00Z")
    raw = {name: no_rows(problem.config, name) for name in view.raw_tables}
    compute(view, raw, moment, moment + timedelta(days=1))
    return iter(())


def _on_rows(problem: Problem, day: datetime) -> Iterator[str]:
    """Read a day, check its contract, compute its features and labels, and fit each estimator on them."""
    params, config = FeatureParams(start=day, end=day + timedelta(days=1)), problem.config
    raw = extract(params, problem, problem.read)
    validate(params, problem, raw)
    views = [(view, compute(view, raw, params.start, params.end)) for view in problem.views]
    requests = raw[config.request.table]
    computed = request_features(problem.request_features, from_table(requests, config.request_columns))
    if not requests.num_rows:
        yield f"the source has no rows of {config.request.table} on {day:%Y-%m-%d}"
        return
    found = checked(problem, _labels_on(problem, day))
    looked_up = join(requests, config.event_time, views)
    columns = {name: pa.array(computed[name]) if name in computed else looked_up[name] for name in problem.features}
    frame = pa.table({"key": requests[config.key], **columns})
    with session(frame=frame, labels=found) as connection:
        rows = connection.sql("SELECT frame.*, label FROM frame JOIN labels USING (key)").to_arrow_table()
    if rows.num_rows < fewest_rows(config.task) or (
        config.task is Task.BINARY and pc.count_distinct(rows["label"]).as_py() < 2
    ):
        until = format_duration(config.label.delay + _DAY)
        yield (
            f"{rows.num_rows} requests of {day:%Y-%m-%d} have a label {until} later: too few, or too much "
            "alike, to fit an estimator on; give another --day, or none where no day has more"
        )
        return
    X, y = inputs(rows, problem)
    X.loc[:, X.isna().all()] = 0.0  # such as views of labels, of which a day alone may know none
    for name in config.training.estimators:
        yield from _told(partial(_fit, name=name, X=X, y=y), problem)


def _labels_on(problem: Problem, day: datetime) -> pa.Table:
    """Return key and label of the rows that tell what became of a day's requests, until a day after they are due."""
    config = problem.config
    end = day + _DAY + config.label.delay + _DAY
    contract = config.tables[config.label.table]
    rows = declared(config.label.table, problem.read(config.label.table, day, end), contract.columns)
    with session(**{config.label.table: rows}) as connection:
        query = f"""SELECT "{config.key}" AS key, CAST(({config.label.sql}) AS DOUBLE) AS label
            FROM "{config.label.table}" WHERE ({config.label.sql}) IS NOT NULL"""
        try:
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise UserError(f"label.sql fails on the rows of {day:%Y-%m-%d}: {str(error).splitlines()[0]}") from error


def _fit(problem: Problem, name: str, X: pd.DataFrame, y: npt.NDArray[np.float64]) -> Iterator[str]:
    """Fit an estimator and predict with it."""
    try:
        estimator = new_estimator(problem, name, {})
        with tempfile.TemporaryDirectory() as state:
            if isinstance(estimator, Resumable):
                estimator.work_in(Path(state), None)
            estimator.fit(X, y)
            predict(estimator, X, problem.config.task)
    except Exception as error:  # whatever the estimator raises
        yield f"estimators.{name}: cannot be fitted on the rows: {type(error).__name__}: {str(error).splitlines()[0]}"
