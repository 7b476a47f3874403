"""Quality metrics of both tasks, and the loss of each row that a paired comparison needs.

The definitions are scikit-learn's where it has them; the expected cost is the money that the errors cost, by the
prices in ``problem.toml``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.config import ProblemConfig, Task

Floats = npt.NDArray[np.floating]

_EPSILON = 1e-7  # keeps the logarithm of a prediction of exactly 0 or 1 finite; float32 resolves about this much


def quality(config: ProblemConfig, labels: Floats, predictions: Floats) -> dict[str, float]:
    """Return every metric of the problem's task, and ``bias``: the mean prediction minus the mean label.

    ``labels`` and ``predictions`` have shape [rows]. The areas under curves are NaN while all labels are the same.
    """
    labels, predictions = labels.astype(np.float64), predictions.astype(np.float64)
    measured = _binary(labels, predictions) if config.task is Task.BINARY else _regression(labels, predictions)
    measured["expected_cost"] = float(row_losses(config, "expected_cost", labels, predictions).mean())
    return {**measured, "bias": float(predictions.mean() - labels.mean())}


def mean_loss(config: ProblemConfig, labels: Floats, predictions: Floats) -> float:
    """Return the problem's primary metric, the one that champions are compared by."""
    metric = config.gates.champion_comparison.metric
    mean = float(row_losses(config, metric, labels, predictions).mean())
    return mean**0.5 if metric == "rmse" else mean


def row_losses(config: ProblemConfig, metric: str, labels: Floats, predictions: Floats) -> Floats:
    """Return the loss of each row, lower is better, whose mean is ``metric`` (for the rmse: its square)."""
    if metric == "log_loss":
        clipped = np.clip(predictions.astype(np.float64), _EPSILON, 1 - _EPSILON)
        return -np.log(np.where(labels > 0.5, clipped, 1 - clipped))
    if metric == "expected_cost":
        return _cost(config, labels, predictions)
    error = predictions.astype(np.float64) - labels
    return np.abs(error) if metric == "mae" else error**2  # brier and rmse


def decision_threshold(config: ProblemConfig) -> float:
    """Return the probability above which acting costs less than not acting, for calibrated predictions.

    Elkan (2001), The Foundations of Cost-Sensitive Learning, equation 2, with correct decisions free of cost.
    """
    business = config.business
    assert business.false_alarm and business.miss, "checked when problem.toml was read"
    return business.false_alarm / (business.false_alarm + business.miss)


def calibration_curve(labels: Floats, predictions: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """Return (mean prediction, mean label, rows) for bins of equally many predictions, empty bins left out."""
    edges = np.unique(np.quantile(predictions, np.linspace(0, 1, bins + 1)[1:-1]))
    groups = np.searchsorted(edges, predictions, side="right")
    return [
        (float(predictions[groups == g].mean()), float(labels[groups == g].mean()), int((groups == g).sum()))
        for g in np.unique(groups)
    ]


def paired_bootstrap(
    candidate_losses: Floats,
    champion_losses: Floats,
    blocks: Sequence[object] | npt.NDArray[np.integer],
    resamples: int,
    seed: int,
) -> Floats:
    """Return ``resamples`` draws of the candidate's mean row loss minus the champion's, shape [resamples].

    Draws whole blocks, such as days, with replacement, because the errors of one block are correlated: drawing single
    rows would claim more certainty than there is (Künsch 1989, the block bootstrap).
    """
    _, block = np.unique(np.asarray(blocks), return_inverse=True)
    sums = np.bincount(block, weights=candidate_losses - champion_losses)
    sizes = np.bincount(block).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    return sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)  # type: ignore[no-any-return]


def slices(
    config: ProblemConfig,
    labels: Floats,
    predictions: Floats,
    groups: Mapping[str, npt.NDArray[Any]],
    metric: str,
    min_rows: int,
) -> dict[str, float]:
    """Return ``metric`` for each value of each grouping with at least ``min_rows`` rows, as ``{"origin=JFK": …}``."""
    measured = {}
    for name, values in groups.items():
        for value in np.unique(values):
            rows = values == value
            if rows.sum() >= min_rows:
                measured[f"{name}={value}"] = quality(config, labels[rows], predictions[rows])[metric]
    return measured


def _binary(labels: Floats, predictions: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    both = 0 < labels.mean() < 1
    curve = calibration_curve(labels, predictions)
    return {
        "log_loss": float(log_loss(labels, np.clip(predictions, _EPSILON, 1 - _EPSILON), labels=[0, 1])),
        "brier": float(brier_score_loss(labels, predictions)),
        "roc_auc": float(roc_auc_score(labels, predictions)) if both else float("nan"),
        "average_precision": float(average_precision_score(labels, predictions)) if both else float("nan"),
        "calibration_error": float(sum(rows * abs(p - y) for p, y, rows in curve) / len(labels)),
    }


def _regression(labels: Floats, predictions: Floats) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    return {
        "rmse": float(root_mean_squared_error(labels, predictions)),
        "mae": float(mean_absolute_error(labels, predictions)),
        "r2": float(r2_score(labels, predictions)) if len(labels) > 1 else float("nan"),
    }


def _cost(config: ProblemConfig, labels: Floats, predictions: Floats) -> Floats:
    business = config.business
    if config.task is Task.BINARY:
        alarm = predictions >= decision_threshold(config)
        event = labels > 0.5
        assert business.false_alarm and business.miss, "checked when problem.toml was read"
        return business.false_alarm * (alarm & ~event) + business.miss * (event & ~alarm)
    error = predictions - labels
    assert business.over and business.under, "checked when problem.toml was read"
    return np.where(error > 0, business.over * error, -business.under * error)
