"""Step 26: measure the champion in service, on the labels that have arrived."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.alarms import Measurements
from monitoring.drift import Reference, drift
from monitoring.metrics import quality
from pipelines.config import Problem, UserError
from pipelines.feature.labels import labelled_predictions
from pipelines.monitor import Labelled, MonitorParams
from pipelines.registry.model_store import REFERENCE, ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.registry.scoring import columns
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.tables import TIMESTAMP, Tables


def join_labels(
    params: MonitorParams, problem: Problem, tables: Tables, predictions: LogReader, releases: ReleaseLog
) -> Labelled:
    """Return the current champion, its predictions in the window, and the labels known by now.

    Raises:
        UserError: when nothing is released yet.
    """
    champion = releases.state().champion
    if champion is None:
        raise UserError("there is no champion to monitor; deploy a release first")
    start = params.as_of - problem.config.monitoring.window
    joined = labelled_predictions(problem, tables, predictions, start, params.as_of)
    if joined is None:
        raise UserError(f"nothing was predicted from {start:%Y-%m-%d} to {params.as_of:%Y-%m-%d}; is the app running?")
    return Labelled(champion, joined.filter(pc.equal(joined["model"], champion.model)))


def measure(params: MonitorParams, problem: Problem, models: ModelStore, answered: Labelled) -> Measurements:
    """Return the champion's quality, label coverage and drift in the window."""
    champion, labelled = answered
    if not labelled.num_rows:
        return Measurements(as_of=params.as_of, model=champion.model, version=champion.version)
    manifest = models.manifest(champion.model)
    reference = Reference.from_json(models.file(champion.model, REFERENCE))
    known = labelled.filter(pc.is_valid(labelled["label"]))
    features = columns(
        labelled.rename_columns([name.removeprefix("feature_") for name in labelled.column_names]), manifest.features
    )
    missing = {
        name: float((np.isnan(values) if values.dtype == np.float32 else values == "").mean())
        for name, values in features.items()
    }
    return Measurements(
        start=pc.min(labelled["answered_at"]).as_py(),
        as_of=params.as_of,
        model=champion.model,
        version=champion.version,
        predictions=labelled.num_rows,
        labels=known.num_rows,
        coverage=_coverage(params, problem, labelled),
        clock_skew=_clock_skew(labelled),
        quality=quality(problem.config, known["label"].to_numpy(), known["prediction"].to_numpy())
        if known.num_rows
        else {},
        drift=drift(reference, features),
        missing=missing,
    )


def _coverage(params: MonitorParams, problem: Problem, labelled: pa.Table) -> float | None:
    due = pa.scalar(params.as_of - problem.config.label.delay, TIMESTAMP)
    old = labelled.filter(pc.less(labelled["answered_at"], due))
    return pc.mean(pc.is_valid(old["label"])).as_py() if old.num_rows else None


def _clock_skew(labelled: pa.Table) -> float:
    """Return by how many seconds the clients' clocks are ahead of the server's: the median over requests."""
    ahead = pc.subtract(labelled["event_time"].cast(pa.int64()), labelled["answered_at"].cast(pa.int64()))
    return float(np.median(ahead.to_numpy())) / 1e6
