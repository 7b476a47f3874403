"""Steps 20 and 21: fit each estimator, choose the best on the validation period, and hand it on as ONNX."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from monitoring.metrics import quality
from pipelines.config import METRICS, Classifier, Estimator, FeatureType, Problem, Resumable, Scalar, Task, UserError
from pipelines.orchestration.pipeline import RunInfo
from pipelines.training import Choice, Split, Trained, TrainingParams
from pipelines.training.export import to_onnx
from pipelines.training.prepare import part

log = logging.getLogger(__name__)

PARITY_ROWS = 2000


def train(
    params: TrainingParams,
    run: RunInfo,
    problem: Problem,
    checkpoints: Path,
    profiles: Path,
    frame: pa.Table,
    split: Split,
) -> Trained:
    """Fit every estimator on the training period and keep the one with the best validation metric."""
    config, metric = problem.config, problem.config.gates.champion_comparison.metric
    names = params.estimators or config.training.estimators
    X, y = inputs(part(frame, split, "train"), problem)
    X_validation, y_validation = inputs(part(frame, split, "validation"), problem)
    fitted, scores = {}, {}
    for name in names:
        fitted[name] = estimator = new_estimator(problem, name, params.settings.get(name, {}))
        if isinstance(estimator, Resumable):
            profile = profiles / run.run_id / name if params.profile else None
            estimator.work_in(checkpoints / run.run_id / name, profile)
        estimator.fit(X, y)
        scores[name] = quality(config, y_validation, predict(fitted[name], X_validation, config.task))
        log.info("fitted estimator=%s rows=%d %s=%.4f", name, len(y), metric, scores[name][metric])
    choose = min if METRICS[config.task][metric] == "lower" else max
    best = choose(names, key=lambda name: scores[name][metric])
    X_test, _ = inputs(part(frame, split, "test").slice(0, PARITY_ROWS), problem)
    shutil.rmtree(checkpoints / run.run_id, ignore_errors=True)
    return Trained(
        onnx=to_onnx(fitted[best], problem.features, config.task),
        choice=Choice(
            estimator=best, settings=settings_of(problem, best, params.settings.get(best, {})), validation=scores
        ),
        native=pa.table({"prediction": predict(fitted[best], X_test, config.task)}),
    )


def inputs(rows: pa.Table, problem: Problem) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Return rows of a frame as an estimator takes them: float32 and string columns, and the labels."""
    features = rows.select(list(problem.features)).to_pandas()
    text = [name for name, kind in problem.features.items() if kind is FeatureType.CATEGORICAL]
    features[text] = features[text].fillna("")
    return features, rows["label"].to_numpy()


def predict(estimator: Estimator, X: pd.DataFrame, task: Task) -> npt.NDArray[np.float64]:
    """Return the probability of the event, or the quantity, for each row."""
    if task is Task.BINARY:
        if not isinstance(estimator, Classifier):
            raise UserError(f"{type(estimator).__name__} gives no probabilities: it needs predict_proba")
        return np.asarray(estimator.predict_proba(X)[:, 1], dtype=np.float64)
    return np.asarray(estimator.predict(X), dtype=np.float64)


def new_estimator(problem: Problem, name: str, changed: Mapping[str, Scalar]) -> Estimator:
    """Return an unfitted estimator with the settings of ``problem.toml``, some of them changed.

    Raises:
        UserError: for a setting that does not fit the estimator.
    """
    settings = settings_of(problem, name, changed)
    try:
        return problem.estimators[name](problem.features, problem.config.training.seed, **settings)
    except TypeError as error:
        raise UserError(f"training.settings.{name} does not fit the estimator: {error}") from error


def settings_of(problem: Problem, name: str, changed: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the settings of an estimator: those of ``problem.toml``, some of them changed."""
    return {**problem.config.training.settings.get(name, {}), **changed}
