"""Checks a problem package and lists all faults: ``problem.toml``, features, estimators, SQL, the rows of a day."""

import importlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import duckdb

from pipelines.config import FeatureView, Problem, UserError, nearest
from pipelines.feature import FeatureParams
from pipelines.feature.engineer import compute, no_rows
from pipelines.feature.extract import extract
from pipelines.feature.request import from_table, request_features
from pipelines.feature.validate import validate
from pipelines.storage.sql import session


def errors(package: str, day: datetime | None) -> list[str]:
    """Return the faults of a problem; ``day`` is a UTC day whose rows to try it on."""
    try:
        problem = Problem.load(package)
    except UserError as error:
        return [*str(error).splitlines(), *_unimportable(package)]
    found = [line for check in (_features, _estimators, _label, _views) for line in _told(check, problem)]
    if day and not found:
        found += _told(lambda one: _on_rows(one, day), problem)
    return list(dict.fromkeys(found))


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


def _views(problem: Problem) -> Iterator[str]:
    """Try the SQL of each view on a table without rows; views in Python need rows to be tried."""
    for view in problem.views:
        if view.sql is not None:
            yield from _told(partial(_view, view), problem)


def _view(view: FeatureView, problem: Problem) -> Iterator[str]:
    moment = datetime.fromisoformat("2000-01-01T00:00:00Z")
    compute(view, no_rows(problem.config, view.table), moment, moment + timedelta(days=1))
    return iter(())


def _on_rows(problem: Problem, day: datetime) -> Iterator[str]:
    """Read a day, check its contract, and compute every view and the request features on it."""
    params, config = FeatureParams(start=day, end=day + timedelta(days=1)), problem.config
    raw = extract(params, problem, problem.read)
    validate(params, problem, raw)
    for view in problem.views:
        compute(view, raw[view.table], params.start, params.end)
    request_features(problem.request_features, from_table(raw[config.request.table], config.request_columns))
    if not raw[config.request.table].num_rows:
        yield f"the source has no rows of {config.request.table} on {day:%Y-%m-%d}"
