"""Step 18: extract the versioned training set, labelled requests with the features known when they were made."""

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.config import Problem, ProblemConfig, UserError, nearest
from pipelines.feature.knowledge import requests as as_asked
from pipelines.feature.labels import earlier_labels, label_versions
from pipelines.feature.offline import Lookup, with_features
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables
from pipelines.training import Pinned, TrainingParams
from pipelines.training.prepare import period_starts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def pin(
    params: TrainingParams, problem: Problem, tables: Tables, models: ModelStore, releases: ReleaseLog, run: RunInfo
) -> Pinned:
    """Fix the data version and the champion, so that a resumed run sees the same world as an uninterrupted one.

    Raises:
        UserError: when an estimator to be trained does not exist.
    """
    for name in params.estimators or problem.config.training.estimators:
        if name not in problem.estimators:
            raise UserError(
                f"{problem.package}/estimators.py has no estimator {name!r}; {nearest(name, problem.estimators)}"
            )
    champion = releases.state().champion
    snapshots = _newest(problem, tables)
    if champion:
        with suppress(UserError):  # told where it is compared
            snapshots |= _newest(trained(problem, models, models.manifest(champion.model)), tables)
    tables.pin(snapshots, run.run_id)
    return Pinned(snapshots=snapshots, champion_model=champion.model if champion else None)


def extract(
    params: TrainingParams, problem: Problem, tables: Tables, lookup: Lookup | None, pinned: Pinned
) -> pa.Table:
    """Return the training frame, oldest request first: key, event_time, known_at, label, and every feature.

    It leaves out a request whose label was not known by the end of the request's period: training, validation or test.
    So no label leaks forward, and each period is a slice of the frame.
    """
    config = problem.config
    start = params.as_of - config.training.history if config.training.history else None
    request_table, label_table = (pinned.snapshots.get(f"raw.{of.table}") for of in (config.request, config.label))
    requests = as_asked(problem, tables, start, params.as_of, as_of=params.as_of, snapshot=request_table)
    labels = label_versions(problem, tables, params.as_of, start, label_table)
    with session(requests=requests, labels=labels) as connection:
        _refuse_earlier_labels(connection, config)
        query = f"""WITH dated AS (
                SELECT *, row_number() OVER () AS "place ",
                    CASE WHEN "{config.event_time}" < $validation THEN $validation
                         WHEN "{config.event_time}" < $test THEN $test ELSE $end END AS "period end"
                FROM requests)
            SELECT dated.* EXCLUDE ("place ", "period end"), labels.known_at, labels.label
            FROM dated JOIN labels ON dated."{config.key}" = labels.key
            WHERE labels.known_at <= "period end" AND coalesce(labels.known_until > "period end", true)
            QUALIFY row_number() OVER (PARTITION BY "place " ORDER BY labels.labelled_at DESC) = 1
            ORDER BY dated."{config.event_time}", labels.key"""
        labelled = connection.sql(query, params=period_starts(params, problem)).to_arrow_table()
    return with_features(problem, tables, pinned.snapshots, labelled, lookup)


def _refuse_earlier_labels(connection: "DuckDBPyConnection", config: ProblemConfig) -> None:
    query = f"""SELECT labels.key, labelled_at, requests."{config.event_time}"
        FROM requests JOIN labels ON requests."{config.key}" = labels.key
        WHERE labelled_at < requests."{config.event_time}" ORDER BY labels.key"""
    found = connection.sql(query).fetchall()
    if found:
        raise UserError(earlier_labels(config, len(found), found[:3]))


def training_frame(problem: Problem, tables: Tables, lookup: Lookup | None, as_of: datetime) -> pa.Table:
    """Return the training frame of a moment, as :func:`extract` would, for a notebook.

    Raises:
        UserError: when no request has a label by then.
    """
    pinned = Pinned(snapshots=_newest(problem, tables), champion_model=None)
    frame = extract(TrainingParams(as_of=as_of, reason="to look at"), problem, tables, lookup, pinned)
    if not frame.num_rows:
        raise UserError(f"no request has a label by {as_of:%Y-%m-%d %H:%M}; run 'mlops run feature' for later days")
    return frame


def _newest(problem: Problem, tables: Tables) -> dict[str, int]:
    names = [f"raw.{name}" for name in problem.config.tables]
    names += [f"features.{view.versioned_name}" for view in problem.views]
    return {name: snapshot for name in names if (snapshot := tables.snapshot(name)) is not None}
