"""A model ready to serve: verified, with the features that it was trained on, and warmed up."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from monitoring.drift import Reference
from pipelines.config import FeatureView, Manifest, Problem, UserError, Variant
from pipelines.feature.engineer import compute, no_rows
from pipelines.feature.request import Columns, as_input, from_values
from pipelines.registry.carried import trained
from pipelines.registry.model_store import REFERENCE, ModelStore
from pipelines.registry.scoring import Scorer
from pipelines.serving.explain import Contributions, baseline, explain
from pipelines.storage.ports import Unavailable

_WARM_UP_TOLERANCE = 1e-5


class ServedModel:
    """A variant of a release, loaded from the model store; ``problem`` has the features that it was trained on.

    Raises:
        UserError: when this engine cannot serve it.
    """

    def __init__(self, variant: Variant, models: ModelStore, problem: Problem) -> None:
        self.variant = variant
        self.manifest = models.manifest(variant.model)
        self.problem = trained(problem, models, self.manifest)
        if faults := list(unfit_requests(self.problem, self.manifest)):
            raise UserError("; ".join(faults))
        self.score = Scorer(models.onnx(variant.model), self.manifest.features)
        check_example(self.score, self.manifest, variant.version)
        self._models = models

    def explain(self, features: Columns) -> Contributions:
        """Return how the features moved the predictions for these rows from that for a typical row of the training."""
        return explain(self.score, features, self._baseline, self.score.inputs)

    @cached_property
    def _baseline(self) -> Columns:
        return baseline(Reference.from_json(self._models.file(self.variant.model, REFERENCE)))


def check_example(score: Scorer, manifest: Manifest, version: int) -> None:
    """Score the example of a manifest, which also warms the model up.

    Raises:
        UserError: when the prediction is not the one that the manifest says.
    """
    example = manifest.example
    row: Columns = {name: as_input([example.features[name]], kind) for name, kind in manifest.features.items()}
    predicted = float(score(row)[0])
    if not np.isclose(predicted, example.prediction, rtol=0, atol=_WARM_UP_TOLERANCE):
        raise UserError(
            f"model v{version} predicts {predicted:.6f} for the example of its manifest, which says "
            f"{example.prediction:.6f}: it is not to be trusted"
        )


def servable(models: ModelStore, variant: Variant, problem: Problem) -> Iterator[str]:
    """Yield each reason for which this engine cannot serve a model and keep its features fresh; none when it can."""
    try:
        model = ServedModel(variant, models, problem)
    except (UserError, Unavailable) as error:
        yield f"v{variant.version}: {error}"
        return
    for view in model.problem.views:
        if reason := unfit_rows(model.problem, view):
            yield f"v{variant.version}: {reason}"


def unfit_requests(problem: Problem, manifest: Manifest) -> Iterator[str]:
    """Yield which fields a model's features are computed from that requests of today lack, or have of another type."""
    today = {name: column.type for name, column in problem.config.request_columns.items() if not column.personal}
    asked = _Asked({name: from_values([], problem.config.request_columns[name]) for name in today})
    with contextlib.suppress(Exception):  # of no rows; what they cannot be computed from is known by then
        problem.request_features.compute(asked)
    for name in sorted(asked.names | {column for view in problem.views for column in view.entity}):
        trained_with = manifest.request_schema.get(name)
        if name not in today:
            yield f"its features are computed from {name!r}, which requests do not carry any more"
        elif trained_with and trained_with.type != today[name]:
            yield f"its features take {name!r} as {trained_with.type}, and requests carry it as {today[name]}"


def unfit_rows(problem: Problem, view: FeatureView) -> str:
    """Return why a feature view cannot be computed from its raw table as that is today, or an empty string."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    try:
        compute(view, no_rows(problem.config, view.table), moment, moment)
    except UserError as error:
        return str(error)
    except KeyError as error:
        return f"feature view {view.name!r} is computed from {error}, which table {view.table!r} does not have any more"
    except Exception:  # of a function that wants rows
        return ""
    return ""


class _Asked(dict[str, Any]):
    """Fields of a request, which remember what was asked for."""

    def __init__(self, fields: Columns) -> None:
        super().__init__(fields)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)
