"""Step 21: the candidate and the champion on the same test rows, as the ONNX files that would serve."""

from typing import Any

import numpy as np
import pyarrow as pa

from monitoring.metrics import quality, slices
from pipelines.model_store import ModelStore
from pipelines.scoring import Scorer, columns
from pipelines.spec import Problem, UserError
from pipelines.training import Evaluated, Metrics, Pinned, Split, Trained
from pipelines.training.prepare import part

MIN_SLICE_ROWS = 200


def evaluate(
    problem: Problem, models: ModelStore, pinned: Pinned, frame: pa.Table, split: Split, trained: Trained
) -> Evaluated:
    """Score the test period with the candidate and with the champion, if there is one."""
    statement, rows = problem.statement, part(frame, split, "test")
    labels, features = rows["label"].to_numpy(), columns(rows, problem.features)
    candidate = Scorer(trained.onnx, problem.features, threads=0)(features)
    predictions = {"event_time": rows["event_time"], "label": rows["label"], "candidate": pa.array(candidate)}
    champion = {}
    if pinned.champion:
        scored = _champion(models, pinned.champion, problem, rows)
        predictions["champion"] = pa.array(scored)
        champion = quality(statement, labels, scored)
    groups = {name: features[name] for name in statement.slices}
    metric = statement.gates.champion_comparison.metric
    metrics = Metrics(
        candidate=quality(statement, labels, candidate),
        champion=champion,
        slices=slices(statement, labels, candidate, groups, metric, MIN_SLICE_ROWS),
    )
    return Evaluated(metrics, pa.table(predictions))


def _champion(models: ModelStore, digest: str, problem: Problem, rows: pa.Table) -> np.ndarray[Any, Any]:
    features = models.manifest(digest).features
    gone = sorted(set(features) - set(problem.features))
    if gone:
        raise UserError(
            f"the champion needs features that model/features.py no longer computes: {', '.join(gone)}; "
            "keep them until a model without them is promoted"
        )
    return Scorer(models.onnx(digest), features, threads=0)(columns(rows, features))
