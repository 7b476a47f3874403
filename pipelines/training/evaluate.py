"""Step 21: the candidate and the champion on the same requests, each with the features that it was trained on."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.metrics import quality, slices
from pipelines.config import Problem, UserError
from pipelines.feature.knowledge import requests as as_asked
from pipelines.feature.offline import Lookup, with_features
from pipelines.registry.carried import trained as as_trained
from pipelines.registry.carried import versions
from pipelines.registry.model_store import ModelStore
from pipelines.registry.scoring import Scorer, columns
from pipelines.storage.tables import Tables
from pipelines.training import Evaluated, Pinned, QualityMetrics, Split, Trained
from pipelines.training.prepare import part

MIN_SLICE_ROWS = 200


def evaluate(
    problem: Problem,
    tables: Tables,
    models: ModelStore,
    lookup: Lookup | None,
    pinned: Pinned,
    frame: pa.Table,
    split: Split,
    trained: Trained,
) -> Evaluated:
    """Score the test period with the candidate, and with the champion if there is one that can be asked here."""
    config, rows = problem.config, part(frame, split, "test")
    labels, features = rows["label"].to_numpy(), columns(rows, problem.features)
    candidate = Scorer(trained.onnx, problem.features, threads=0)(features)
    predictions = {"event_time": rows["event_time"], "label": rows["label"], "candidate": pa.array(candidate)}
    champion_metrics, incomparable = {}, ""
    if pinned.champion_model:
        try:
            scored = _champion(problem, tables, models, lookup, pinned, rows)
            predictions["champion"] = pa.array(scored)
            champion_metrics = quality(config, labels, scored)
        except UserError as error:
            incomparable = str(error)
    groups = {name: features[name] for name in config.slices}
    metric = config.gates.champion_comparison.metric
    metrics = QualityMetrics(
        candidate_metrics=quality(config, labels, candidate),
        champion_metrics=champion_metrics,
        slices=slices(config, labels, candidate, groups, metric, MIN_SLICE_ROWS),
        incomparable=incomparable,
    )
    return Evaluated(metrics, pa.table(predictions))


def _champion(
    problem: Problem, tables: Tables, models: ModelStore, lookup: Lookup | None, pinned: Pinned, rows: pa.Table
) -> Any:
    """Return the champion's predictions for the requests of these rows, from its own features, float32 [rows].

    Raises:
        UserError: when its features cannot be computed here, or were not materialised.
    """
    assert pinned.champion_model, "there is a champion to ask"
    manifest = models.manifest(pinned.champion_model)
    own, config = as_trained(problem, models, manifest), problem.config
    score = Scorer(models.onnx(pinned.champion_model), own.features, threads=0)
    if manifest.feature_versions != versions(problem):
        name, asked = f"raw.{config.request.table}", pc.min_max(rows["event_time"]).as_py()
        span = {"start": asked["min"], "end": asked["max"] + timedelta(microseconds=1)}
        requests = as_asked(problem, tables, **span, snapshot=pinned.snapshots.get(name))
        requests = requests.take(pc.index_in(rows["key"], value_set=requests[config.key]))
        rows = with_features(own, tables, pinned.snapshots, requests, lookup)
    return score(columns(rows, own.features))
