"""Networks against gradient boosting on the problem in ``model/``: quality on later months, with intervals, and time.

Each model learns from all requests before a cut-off and is judged on the four weeks after it, as the next release
would be. Differences are of paired rows; their intervals by a bootstrap of whole days.
"""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from monitoring.metrics import paired_bootstrap, quality, row_losses
from pipelines.bootstrap import Platform, pipeline
from pipelines.config import CATEGORICAL, Problem
from pipelines.feature import FeatureParams
from pipelines.settings import Settings
from pipelines.training import TrainingParams
from pipelines.training.train import inputs, new_estimator, predict
from tests.bench.benchmarks import Row

CUTS = (150, 60, 0)  # days before the end of the data, less a test period
TEST = timedelta(days=28)
REFERENCE = "gradient_boosting"


def measure_models(home: Path | None = None) -> Iterator[Row]:
    """The problem's estimators, XGBoost and LightGBM: log loss, AUC, calibration and seconds at three cut-offs."""
    problem = Platform(Settings()).problem
    if problem.config.replay is None:
        yield Row("models", "the problem has no [replay] to measure with")
        return
    platform = prepared(home or Path(tempfile.mkdtemp()))
    frame = platform.runner.output(pipeline("training"), "extract", "bench")
    times = frame["event_time"].cast("int64").to_numpy()
    X, y = inputs(frame, problem)
    last = datetime.fromtimestamp(times[-1] / 1e6, UTC)
    metric = problem.config.gates.champion_comparison.metric
    for days in CUTS:
        cut = last - timedelta(days=days) - TEST
        train = times < cut.timestamp() * 1e6
        test = ~train & (times < (cut + TEST).timestamp() * 1e6)
        found = {name: _fitted(name, problem, X[train], y[train], X[test]) for name in _names()}
        labels, days_of_rows = y[test], times[test] // 86_400_000_000
        losses = {name: row_losses(problem.config, metric, labels, scores) for name, (scores, _) in found.items()}
        for name, (scores, seconds) in found.items():
            measured = quality(problem.config, labels, scores)
            draws = paired_bootstrap(losses[name], losses[REFERENCE], days_of_rows, 2000, 0)
            low, high = np.quantile(draws, [0.025, 0.975])
            told = f"{metric} {measured[metric]:.4f} AUC {measured.get('roc_auc', 0):.4f} "
            told += f"calibration {measured.get('calibration_error', 0):.4f} {seconds:.1f} s"
            difference = f"{(losses[name] - losses[REFERENCE]).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            yield Row(f"{name}, {train.sum():,} rows before {cut:%Y-%m-%d}", told, REFERENCE, difference)


def _names() -> list[str]:
    optional = {"neural_network": "torch", "xgboost": "xgboost", "lightgbm": "lightgbm"}
    return ["baseline", REFERENCE, *(name for name, package in optional.items() if find_spec(package))]


def prepared(home: Path) -> Platform:
    """Return a platform in whose run "bench" all that the problem's source has is joined and split."""
    platform = Platform(Settings(home=home, releases=home / "releases"), Path())
    plan = platform.problem.config.replay
    assert plan
    start, end = (datetime.combine(day, clock(), UTC) for day in (plan.history, plan.end))
    platform.run("feature", FeatureParams(start=start, end=end), "all")
    training = pipeline("training")
    platform.runner.start(training, TrainingParams(as_of=end, reason="bench"), "bench")
    platform.runner.run(training, "bench", before="train")
    return platform


def _fitted(name: str, problem: Problem, X: Any, y: Any, X_test: Any) -> tuple[Any, float]:
    """Return the predictions for test rows, and the seconds that fitting took."""
    estimator: Any = _boosted(name) if name in ("xgboost", "lightgbm") else new_estimator(problem, name, {})
    if name in ("xgboost", "lightgbm"):
        texts = [feature for feature, kind in problem.features.items() if kind is CATEGORICAL]
        kinds = {text: X[text].astype("category").dtype for text in texts}
        X, X_test = X.astype(kinds), X_test.astype(kinds)
    began = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - began
    return predict(estimator, X_test, problem.config.task), seconds


def _boosted(name: str) -> Any:
    """Return the library's trees, as many and as large as those of ``model/``'s gradient boosting."""
    trees, rate, leaves = 60, 0.15, 15
    if name == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(
            n_estimators=trees, learning_rate=rate, max_leaves=leaves, grow_policy="lossguide", max_depth=0,
            tree_method="hist", enable_categorical=True, min_child_weight=20,
        )  # fmt: skip
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=trees, learning_rate=rate, num_leaves=leaves, min_child_samples=200, verbose=-1)
