"""Step 26: measure the champion in service, on the labels that have arrived."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.alarms import Measurements
from monitoring.drift import Reference, psi, shares, unseen
from monitoring.metrics import quality
from pipelines.config import Problem
from pipelines.feature.labels import labelled_predictions
from pipelines.monitor import Labelled, MonitorParams, Watched
from pipelines.registry.carried import trained
from pipelines.registry.model_store import REFERENCE, ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.registry.scoring import columns
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.tables import TIMESTAMP, Tables


def join_labels(
    params: MonitorParams, problem: Problem, tables: Tables, predictions: LogReader, releases: ReleaseLog
) -> Labelled:
    """Return the current champion, its predictions in the window, and the labels known by now.

    Without a champion, or where nothing was predicted, there are no rows.
    """
    champion, (start, end) = releases.state().champion, _window(params, problem)
    joined = labelled_predictions(problem, tables, predictions, start, end) if champion else None
    watched = Watched(champion=champion, unreadable=predictions.unreadable)
    if joined is None or champion is None:
        return Labelled(watched, pa.table({}))
    return Labelled(watched, joined.filter(pc.equal(joined["model"], champion.model)))


def _window(params: MonitorParams, problem: Problem) -> tuple[datetime, datetime]:
    return params.as_of - problem.config.monitoring.window, params.as_of


def measure(
    params: MonitorParams, problem: Problem, models: ModelStore, releases: ReleaseLog, answered: Labelled
) -> Measurements:
    """Return the champion's quality, label coverage and drift in the window."""
    champion, unreadable, labelled = answered.watched.champion, answered.watched.unreadable, answered.predictions
    if champion is None:
        return Measurements(as_of=params.as_of)
    if not labelled.num_rows:
        latest, (start, _) = releases.latest(), _window(params, problem)
        silent = latest is not None and latest.at <= start and not unreadable
        nothing = Measurements(as_of=params.as_of, silent=silent, unreadable=unreadable)
        return nothing.model_copy(update={"model": champion.model, "version": champion.version})
    manifest = models.manifest(champion.model)
    reference = Reference.from_json(models.file(champion.model, REFERENCE))
    known = labelled.filter(pc.is_valid(labelled["label"]))
    features = columns(
        labelled.rename_columns([name.removeprefix("feature_") for name in labelled.column_names]), manifest.features
    )
    now = {name: shares(values, reference.features[name]) for name, values in features.items()}
    missing = {name: float(found[-1]) for name, found in now.items()}
    views = trained(problem, models, manifest).views
    sources = {name: view.name for view in views for name in view.features}
    return Measurements(
        start=pc.min(labelled["answered_at"]).as_py(),
        as_of=params.as_of,
        model=champion.model,
        version=champion.version,
        unreadable=unreadable,
        predictions=labelled.num_rows,
        labels=known.num_rows,
        coverage=_coverage(params, problem, labelled),
        clock_skew=_clock_skew(labelled),
        quality=quality(problem.config, known["label"].to_numpy(), known["prediction"].to_numpy())
        if known.num_rows
        else {},
        drift={name: psi(reference.features[name], found) for name, found in now.items()},
        prediction_drift=psi(reference.prediction, shares(labelled["prediction"].to_numpy(), reference.prediction)),
        missing=missing,
        missing_rise={name: share - reference.features[name].shares[-1] for name, share in missing.items()},
        unseen_rise={name: unseen(reference.features[name], found) for name, found in now.items()},
        sources={name: sources.get(name, "request") for name in features},
    )


def _coverage(params: MonitorParams, problem: Problem, labelled: pa.Table) -> float | None:
    due = pa.scalar(params.as_of - problem.config.label.delay, TIMESTAMP)
    old = labelled.filter(pc.less(labelled["answered_at"], due))
    return pc.mean(pc.is_valid(old["label"])).as_py() if old.num_rows else None


def _clock_skew(labelled: pa.Table) -> float:
    """Return by how many seconds the clients' clocks are ahead of the server's: the median over requests."""
    ahead = pc.subtract(labelled["event_time"].cast(pa.int64()), labelled["answered_at"].cast(pa.int64()))
    return float(np.median(ahead.to_numpy())) / 1e6
