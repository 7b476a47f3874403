"""A model ready to serve: verified, with the features that this code computes, and warmed up."""

from functools import cached_property

import numpy as np

from monitoring.drift import Reference
from pipelines.config import Manifest, Problem, UserError, Variant
from pipelines.feature.request import Columns, as_input
from pipelines.registry.model_store import REFERENCE, ModelStore
from pipelines.registry.scoring import Scorer
from pipelines.serving.explain import Contributions, baseline, explain

_WARM_UP_TOLERANCE = 1e-5


class ServedModel:
    """A variant of a release, loaded from the model store."""

    def __init__(self, variant: Variant, models: ModelStore, problem: Problem) -> None:
        self.variant = variant
        self.manifest = models.manifest(variant.model)
        if changed := changed_features(self.manifest, problem):
            raise UserError(f"the model was trained on other definitions of {', '.join(changed)}: train it again")
        self.score = Scorer(models.onnx(variant.model), self.manifest.features)
        check_example(self.score, self.manifest, variant.version)
        self._models = models

    def explain(self, features: Columns) -> Contributions:
        """Return how the features moved the predictions for these rows from the one for a typical training row."""
        return explain(self.score, features, self._baseline, self.score.inputs)

    @cached_property
    def _baseline(self) -> Columns:
        return baseline(Reference.from_json(self._models.file(self.variant.model, REFERENCE)))


def check_example(score: Scorer, manifest: Manifest, version: int) -> None:
    """Score the example of a manifest, which also warms the model up.

    Raises:
        UserError: when the prediction differs from the manifest's.
    """
    example = manifest.example
    row: Columns = {name: as_input([example.features[name]], kind) for name, kind in manifest.features.items()}
    predicted = float(score(row)[0])
    if not np.isclose(predicted, example.prediction, rtol=0, atol=_WARM_UP_TOLERANCE):
        raise UserError(
            f"model v{version} predicts {predicted:.6f} for the example of its manifest, which says "
            f"{example.prediction:.6f}: it cannot be trusted"
        )


def changed_features(manifest: Manifest, problem: Problem) -> list[str]:
    """Return which of a model's features this code computes differently from its training."""
    current = {view.name: view.version for view in problem.views}
    changed = [name for name, version in manifest.feature_versions.views.items() if current.get(name) != version]
    if manifest.feature_versions.request != problem.request_features.version:
        changed.append("the request features")
    trained, defaults = manifest.feature_versions.defaults, problem.config.serving.defaults
    changed += [
        f"the default of {name}" for name in sorted({*trained, *defaults}) if trained.get(name) != defaults.get(name)
    ]
    return changed
