"""Step 18: the versioned training set: labelled requests with the features that were known when they were made."""

import pyarrow as pa

from pipelines.feature.offline import Lookup, with_features
from pipelines.labels import known_labels
from pipelines.release_log import ReleaseLog
from pipelines.spec import Problem, RunInfo, UserError, nearest
from pipelines.sql import session
from pipelines.tables import Tables
from pipelines.training import Pinned, TrainingParams


def pin(params: TrainingParams, problem: Problem, tables: Tables, releases: ReleaseLog, run: RunInfo) -> Pinned:
    """Fix the data version and the champion, so that a resumed run sees the same world as an uninterrupted one.

    Raises:
        UserError: when an estimator that is to be trained does not exist.
    """
    for name in params.estimators or problem.statement.training.estimators:
        if name not in problem.estimators:
            raise UserError(
                f"{problem.package}/estimators.py has no estimator {name!r}; {nearest(name, problem.estimators)}"
            )
    names = [f"raw.{name}" for name in problem.statement.tables]
    names += [f"features.{view.versioned_name}" for view in problem.views]
    snapshots = {name: snapshot for name in names if (snapshot := tables.snapshot(name)) is not None}
    tables.pin(snapshots, run.run_id)
    champion = releases.state().champion
    return Pinned(snapshots=snapshots, champion=champion.model if champion else None)


def extract(params: TrainingParams, problem: Problem, tables: Tables, lookup: Lookup, pinned: Pinned) -> pa.Table:
    """Return the training frame, oldest request first: key, event_time, known_at, label, and every feature."""
    statement = problem.statement
    start = params.as_of - statement.training.history if statement.training.history else None
    name = f"raw.{statement.request.table}"
    requests = tables.read(
        name, time=statement.event_time, start=start, end=params.as_of, snapshot=pinned.snapshots.get(name)
    )
    snapshot = pinned.snapshots.get(f"raw.{statement.label.table}")
    labels = known_labels(problem, tables, params.as_of, start, snapshot)
    with session(requests=requests, labels=labels) as connection:
        query = f"""SELECT requests.*, known_at, label FROM requests JOIN labels ON "{statement.key}" = labels.key
            ORDER BY "{statement.event_time}", labels.key"""
        labelled = connection.sql(query).to_arrow_table()
    return with_features(problem, tables, pinned.snapshots, labelled, lookup)
