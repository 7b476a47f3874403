"""Batch inference: requests with the features of their own moment, scored a chunk at a time, into one file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pipelines.batch.parts import Parts, parts_of
from pipelines.batch.requests import SUFFIXES, Requests, checked, chunks
from pipelines.config import Problem, UserError, Variant, WrongUsage
from pipelines.feature.offline import with_features
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.scoring import Scorer, columns
from pipelines.storage.sql import session
from pipelines.storage.tables import Tables

CHUNK_ROWS = 50_000


class Predicted(NamedTuple):
    """How many requests were answered, and how many of them by an earlier run that was killed."""

    rows: int
    resumed: int


def predict(
    problem: Problem,
    tables: Tables,
    models: ModelStore,
    variant: Variant,
    requests: Requests,
    output: Path,
    advance: Callable[[int], None] = lambda _rows: None,
    chunk_rows: int = CHUNK_ROWS,
) -> Predicted:
    """Write key, event_time, prediction and model_version of each request, in the requests' order.

    All features are those that the model was trained on, of one snapshot of each view. ``advance`` is told the rows
    of each chunk once they are on disk; a run that is killed goes on after the last one when it is repeated with the
    same input, model and snapshots.

    Raises:
        UserError: when the requests break their contract, or the model's features cannot be computed here; then
            nothing is written.
    """
    if output.suffix not in SUFFIXES:
        raise WrongUsage(f"{output} ends in neither {' nor '.join(SUFFIXES)}, so its format is not known")
    manifest = models.manifest(variant.model)
    try:
        problem = trained(problem, models, manifest)
    except UserError as error:
        raise UserError(f"v{variant.version}: {error}") from error
    score = Scorer(models.onnx(variant.model), manifest.features, threads=0)
    snapshots = _snapshots(problem, tables)
    given = [requests.identity, variant.model, sorted(snapshots.items()), chunk_rows]
    rows = resumed = count = 0
    with parts_of(output, hashlib.sha256(repr(given).encode()).hexdigest()[:16]) as parts:
        for count, chunk in enumerate(chunks(requests, chunk_rows), start=1):
            if parts.has(count - 1):
                resumed += chunk.num_rows
            else:
                valid = checked(problem, requests.name, chunk, rows + 1)
                frame = with_features(problem, tables, snapshots, valid)
                predicted = score(columns(frame, manifest.features))
                parts.write(count - 1, _answers(frame, predicted, variant.version))
            rows += chunk.num_rows
            advance(chunk.num_rows)
        if not rows:
            raise UserError(f"{requests.name} has no requests to predict for")
        _refuse_repeated_keys(problem, parts, count, requests.name)
        metadata = {"model": variant.model, **{name: str(snapshot) for name, snapshot in snapshots.items()}}
        parts.join(count, output, metadata)
    return Predicted(rows, resumed)


def _snapshots(problem: Problem, tables: Tables) -> dict[str, int]:
    names = [f"features.{view.versioned_name}" for view in problem.views]
    return {name: snapshot for name in names if (snapshot := tables.snapshot(name)) is not None}


def _answers(frame: pa.Table, predicted: object, version: int) -> pa.Table:
    return pa.table(
        {
            "key": frame["key"],
            "event_time": frame["event_time"],
            "prediction": pa.array(predicted, pa.float32()),
            "model_version": pa.array([version] * frame.num_rows, pa.int32()),
        }
    )


def _refuse_repeated_keys(problem: Problem, parts: Parts, count: int, name: str) -> None:
    """Refuse a key that occurs in two chunks, which the check of a chunk cannot see."""
    if not problem.config.request_columns[problem.config.key].unique:
        return
    with session() as connection:
        query = "SELECT key FROM read_parquet(?) GROUP BY key HAVING count(*) > 1 LIMIT 3"
        repeated = [key for (key,) in connection.execute(query, [parts.paths(count)]).fetchall()]
    if repeated:
        shown = ", ".join(map(repr, repeated))
        raise UserError(f"{name}: {problem.config.key} must be unique, and these come again: {shown}")
