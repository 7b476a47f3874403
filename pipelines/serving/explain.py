"""Explanations: how much each feature moved a prediction from the prediction for a typical row.

Baseline Shapley values (Sundararajan & Najmi 2020, The Many Shapley Values for Model Explanation): a feature's
contribution is the change of the prediction when the feature goes from its baseline to its value, averaged over the
orders in which the features may change. The average is estimated from random orders (Štrumbelj & Kononenko 2014,
Explaining prediction models and individual predictions with feature contributions), each with its reverse, which
cancels the error of interactions between two features. In every order the changes add up to the whole change, so the
base and the contributions add up to the prediction whatever the number of orders.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitoring.drift import Reference
from pipelines.feature.request import Columns, as_input

_ORDERS = 64  # each counts twice, by its reverse
_SEED = 0


class Contributions(NamedTuple):
    """The prediction for the baseline, and each feature's contribution for each row, float64 [rows]."""

    base: float
    features: dict[str, npt.NDArray[np.float64]]

    def of(self, row: int) -> dict[str, Any]:
        """Return one row's explanation as it is answered."""
        return {
            "base": self.base,
            "contributions": {name: float(values[row]) for name, values in self.features.items()},
        }


def baseline(reference: Reference) -> Columns:
    """Return the typical row of a model's training: medians and most frequent categories, each of shape [1]."""
    return {name: as_input([shape.typical], shape.kind) for name, shape in reference.features.items()}


def explain(
    score: Callable[[Columns], npt.NDArray[np.float32]], features: Columns, start: Columns, names: list[str]
) -> Contributions:
    """Return the contributions of the features ``names`` to the predictions for rows, from the row ``start`` on.

    One call of ``score``, on at most ``2 * _ORDERS * (len(names) + 1)`` rows for each row of ``features``.
    """
    orders = np.array([np.random.default_rng(_SEED + number).permutation(len(names)) for number in range(_ORDERS)])
    orders = np.concatenate([orders, orders[:, ::-1]])
    rank = np.argsort(orders, axis=1)
    steps = rank[:, None, :] < np.arange(len(names) + 1)[None, :, None]  # [order, step, feature]: moved already?
    moved, where = np.unique(steps.reshape(-1, len(names)), axis=0, return_inverse=True)
    rows = len(features[names[0]])
    predicted = score(_mixed(features, start, names, moved)).astype(np.float64).reshape(rows, len(moved))
    path = predicted[:, where.reshape(steps.shape[:2])]  # [row, order, step]
    change = np.take_along_axis(np.diff(path, axis=2), rank[None], axis=2).mean(axis=1)  # [row, feature]
    return Contributions(float(path[0, 0, 0]), {name: change[:, number] for number, name in enumerate(names)})


def _mixed(features: Columns, start: Columns, names: list[str], moved: npt.NDArray[np.bool_]) -> Columns:
    """Return every row once for each line of ``moved``: its own value where that is true, else the start's."""
    return {
        name: np.where(moved[None, :, number], features[name][:, None], start[name][:, None]).reshape(-1)
        for number, name in enumerate(names)
    }
