"""Neural networks for tabular problems: estimators that ``model/`` may choose by name, in a layer below it.

Torch is the optional extra ``torch``; this package alone imports it, when a network is created.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipelines.config import FeatureType, Scalar, Task, UserError
from pipelines.config.strict import explain
from pipelines.neural.settings import NetworkSettings

if TYPE_CHECKING:
    from pipelines.neural.estimator import NetworkEstimator

__all__ = ["NetworkSettings", "classifier", "regressor"]


def classifier(features: Mapping[str, FeatureType], seed: int, **settings: Scalar) -> "NetworkEstimator":
    """Return a network for the probability of an event; ``settings`` are the fields of :class:`NetworkSettings`.

    Raises:
        UserError: for a setting that does not exist or does not fit, and while the extra is not installed.
    """
    return _network(features, seed, Task.BINARY, settings)


def regressor(features: Mapping[str, FeatureType], seed: int, **settings: Scalar) -> "NetworkEstimator":
    """Return a network for a quantity; settings and errors as for :func:`classifier`."""
    return _network(features, seed, Task.REGRESSION, settings)


def _network(
    features: Mapping[str, FeatureType], seed: int, task: Task, settings: Mapping[str, Scalar]
) -> "NetworkEstimator":
    try:
        chosen = NetworkSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise UserError(
            "\n".join(f"settings of the network: {line}" for line in explain(error, NetworkSettings))
        ) from None
    if find_spec("torch") is None:
        raise UserError("a neural network needs torch (4.5 GB): install it with 'uv sync --extra torch'")
    from pipelines.neural.estimator import NetworkEstimator

    return NetworkEstimator(features, seed, task, chosen)
