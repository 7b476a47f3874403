"""Step 21: evaluate candidate and champion on the same test rows, with the ONNX files that would serve."""

import pyarrow as pa

from monitoring.metrics import quality, slices
from pipelines.config import Problem
from pipelines.registry.model_store import ModelStore
from pipelines.registry.scoring import Scorer, columns
from pipelines.serving.model import changed_features
from pipelines.training import Evaluated, Pinned, QualityMetrics, Split, Trained
from pipelines.training.prepare import part

MIN_SLICE_ROWS = 200


def evaluate(
    problem: Problem, models: ModelStore, pinned: Pinned, frame: pa.Table, split: Split, trained: Trained
) -> Evaluated:
    """Score the test period with the candidate, and with the champion if it takes these features."""
    config, rows = problem.config, part(frame, split, "test")
    labels, features = rows["label"].to_numpy(), columns(rows, problem.features)
    candidate = Scorer(trained.onnx, problem.features, threads=0)(features)
    predictions = {"event_time": rows["event_time"], "label": rows["label"], "candidate": pa.array(candidate)}
    champion = {}
    if pinned.champion and not changed_features(models.manifest(pinned.champion), problem):
        own = models.manifest(pinned.champion).features
        scored = Scorer(models.onnx(pinned.champion), own, threads=0)(columns(rows, own))
        predictions["champion"] = pa.array(scored)
        champion = quality(config, labels, scored)
    groups = {name: features[name] for name in config.slices}
    metric = config.gates.champion_comparison.metric
    metrics = QualityMetrics(
        candidate=quality(config, labels, candidate),
        champion=champion,
        slices=slices(config, labels, candidate, groups, metric, MIN_SLICE_ROWS),
    )
    return Evaluated(metrics, pa.table(predictions))
