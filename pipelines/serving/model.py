"""A model ready to serve: verified, with the features that it was trained on, and warmed up."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from monitoring.drift import Reference
from pipelines.config import FeatureView, Manifest, Problem, UserError, Variant
from pipelines.feature.engineer import compute, no_rows
from pipelines.feature.online import Absent, OnlineFeatures
from pipelines.feature.request import Columns, as_input, from_values
from pipelines.registry.carried import trained
from pipelines.registry.model_store import REFERENCE, ModelStore
from pipelines.registry.scoring import Scorer
from pipelines.serving.explain import Contributions, baseline, explain
from pipelines.storage.ports import OnlineStore, Unavailable

_WARM_UP_TOLERANCE = 1e-5


class Rejected(UserError):
    """A request that is well formed and yet has no answer: a feature view has no value for it, or the model none."""


class Loaded(NamedTuple):
    """A model that works here: its manifest, the problem with the features that it was trained on, and its scorer."""

    manifest: Manifest
    problem: Problem
    score: Scorer


def load(variant: Variant, models: ModelStore, problem: Problem) -> Loaded:
    """Load a model, verified and warmed up.

    Raises:
        UserError: when this engine cannot serve it, with the reason.
    """
    manifest = models.manifest(variant.model)
    own = trained(problem, models, manifest)
    if faults := list(unfit_requests(own, manifest)):
        raise UserError("; ".join(faults))
    score = Scorer(models.onnx(variant.model), manifest.features)
    check_example(score, manifest, variant.version)
    return Loaded(manifest, own, score)


class ServedModel:
    """A variant of a release, loaded from the model store, with its own features; errors as :func:`load`."""

    def __init__(self, variant: Variant, models: ModelStore, problem: Problem, online: OnlineStore) -> None:
        self.variant = variant
        self.manifest, self.problem, self.score = load(variant, models, problem)
        self.find = OnlineFeatures(self.problem, online)
        self._models = models
        versions = self.manifest.feature_versions
        self._fed = versions.views, versions.request, versions.defaults

    def shares_features(self, other: "ServedModel") -> bool:
        """Say whether both models are fed the same, so that it need be looked up once."""
        return self._fed == other._fed

    def features(self, fields: Columns, rows: Sequence[int]) -> Columns:
        """Return the model's features of requests, which are these rows of a body.

        Raises:
            Rejected: when a view has no value whose policy is to refuse such requests.
        """
        found = self.find(fields)
        if rejection := self.rejection(found.absent, rows):
            raise rejection
        return found.features

    def rejection(self, absent: list[Absent], rows: Sequence[int]) -> Rejected | None:
        """Return the error of the first request for which a view has no value whose policy is to refuse such ones."""
        for view, row, entity, kind in absent:
            if self.problem.config.serving.rejects(view):
                named = ", ".join(f"{column} {value!r}" for column, value in entity.items())
                why = "unknown to it" if kind == "missing" else "known to it, by values older than its ttl"
                return Rejected(f"row {rows[row]}: the feature view {view!r} has no value: {named} is {why}")
        return None

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


def servable(models: ModelStore, variant: Variant, problem: Problem) -> Iterator[str]:
    """Yield each reason for which this engine cannot serve a model and keep its features fresh; none when it can."""
    try:
        own = load(variant, models, problem).problem
    except (UserError, Unavailable) as error:
        yield str(error)
        return
    for view in own.views:
        if reason := unfit_rows(own, view):
            yield reason


def unfit_requests(problem: Problem, manifest: Manifest) -> Iterator[str]:
    """Yield which fields a model's features are computed from that requests of today lack, or have of another type."""
    today = {name: column.type for name, column in problem.config.request_columns.items() if not column.personal}
    asked = _Asked({name: from_values(name, [], problem.config.request_columns[name]) for name in today})
    with contextlib.suppress(Exception):  # of no rows; what they cannot be computed from is known by then
        problem.request_features.compute(asked)
    for name in sorted(asked.names | {column for view in problem.views for column in view.entity}):
        trained_with = manifest.request_schema.get(name)
        if name not in today:
            yield f"its features are computed from {name!r}, which requests do not carry any more"
        elif trained_with and trained_with.type != today[name]:
            yield f"its features take {name!r} as {trained_with.type}, and requests carry it as {today[name]}"


def unfit_rows(problem: Problem, view: FeatureView) -> str:
    """Return why a feature view cannot be computed from its raw tables as they are today, or an empty string."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    try:
        compute(view, {name: no_rows(problem.config, name) for name in view.raw_tables}, moment, moment)
    except UserError as error:
        return str(error)
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
