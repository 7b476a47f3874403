"""Steps 22 and 23: register the candidate with its manifest and card in the model store, and in MLflow for people."""

import hashlib
import logging
from datetime import datetime
from itertools import pairwise

import pyarrow as pa

from monitoring.drift import Reference, describe
from pipelines.config import Code, Example, FeatureType, Manifest, Period, Problem
from pipelines.feature.request import without_nan
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry import carried
from pipelines.registry.model_store import CARD, ONNX, REFERENCE, ModelStore
from pipelines.registry.scoring import columns
from pipelines.registry.tracking import Tracking
from pipelines.training import PARTS, Candidate, Evaluated, GateResults, Pinned, Split, Trained, TrainingParams
from pipelines.training.card import card
from pipelines.training.index import index
from pipelines.training.prepare import part

log = logging.getLogger(__name__)


def register(
    params: TrainingParams,
    run: RunInfo,
    problem: Problem,
    code: Code,
    models: ModelStore,
    tracking: Tracking | None,
    pinned: Pinned,
    frame: pa.Table,
    split: Split,
    trained: Trained,
    evaluated: Evaluated,
    gate_results: GateResults,
) -> Candidate:
    """Store the candidate, even a refused one, so that every verdict stays on record with its numbers."""
    config, metrics = problem.config, evaluated.metrics
    reference = _reference(problem, frame, split, evaluated).to_json()
    files = {ONNX: trained.onnx, REFERENCE: reference, **carried.sources(problem)}
    manifest = Manifest(
        problem=config.name,
        task=config.task,
        run_id=run.run_id,
        created=datetime.fromisoformat(run.created),
        reason=params.reason,
        estimator=trained.choice.estimator,
        settings=trained.choice.settings,
        code=code,
        data=pinned.snapshots,
        feature_versions=carried.versions(problem),
        features=dict(problem.features),
        request_schema=dict(config.request_columns),
        periods=_periods(split),
        metrics={
            "test": metrics.candidate_metrics,
            "champion": metrics.champion_metrics,
            "slices": metrics.slices,
            **{f"validation {name}": scores for name, scores in trained.choice.validation.items()},
        },
        champion_model=pinned.champion_model,
        gates=gate_results.gates,
        example=_example(problem, frame, split, evaluated),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    text = card(manifest, config).encode()
    digest, version = models.put(manifest, files)
    models.attach(digest, CARD, text)
    if tracking:
        index(models, tracking)
    log.info("registered version=%d model=%s accepted=%s", version, digest[:12], manifest.accepted)
    return Candidate(model=digest, version=version, accepted=manifest.accepted)


def _periods(split: Split) -> dict[str, Period]:
    moments = [split.train_start, split.validation_start, split.test_start, split.end]
    return {
        name: Period(start=start, end=end, rows=split.rows[name])
        for name, (start, end) in zip(PARTS, pairwise(moments), strict=True)
    }


def _reference(problem: Problem, frame: pa.Table, split: Split, evaluated: Evaluated) -> Reference:
    train = columns(part(frame, split, "train"), problem.features)
    predictions = evaluated.predictions["candidate"].to_numpy()
    return Reference(
        features={name: describe(train[name], kind) for name, kind in problem.features.items()},
        prediction=describe(predictions, FeatureType.NUMERIC),
    )


def _example(problem: Problem, frame: pa.Table, split: Split, evaluated: Evaluated) -> Example:
    row = columns(part(frame, split, "test").slice(0, 1), problem.features)
    prediction = evaluated.predictions["candidate"][0].as_py()
    values = without_nan(value.tolist()[0] for value in row.values())
    return Example(features=dict(zip(row, values, strict=True)), prediction=prediction)
