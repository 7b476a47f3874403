"""Batch inference as a pipeline of one step, for runs on other machines: a day's requests, scored by one model."""

import tempfile
from datetime import UTC
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime

from pipelines.batch.parts import writer
from pipelines.batch.predict import predict
from pipelines.batch.requests import SUFFIXES, of_day
from pipelines.config import Problem, StrictModel, UserError, Variant, WrongUsage
from pipelines.orchestration.pipeline import Pipeline
from pipelines.orchestration.runner import Runner
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.tables import Tables


class BatchParams(StrictModel):
    """The UTC day whose requests are predicted for, and the version that predicts; None is the champion."""

    as_of: AwareDatetime
    model: str | None = None


def predict_day(
    params: BatchParams, problem: Problem, tables: Tables, models: ModelStore, releases: ReleaseLog
) -> pa.Table:
    """Return what ``mlops predict --as-of DAY`` writes: key, event_time, prediction and model_version.

    Raises:
        UserError: as :func:`pipelines.batch.predict.predict`, and when there is no model.
    """
    day = params.as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    variant = chosen(models, releases, params.model)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "predictions.parquet"
        predict(problem, tables, models, variant, of_day(problem, tables, day), output)
        return pq.read_table(output)


def chosen(models: ModelStore, releases: ReleaseLog, model: str | None) -> Variant:
    """Return the given model, or the environment's champion.

    Raises:
        UserError: when there is none.
    """
    if model is not None:
        digest, version = models.resolve(model)
        return Variant(model=digest, version=version)
    champion = releases.state().champion
    if champion is None:
        raise UserError(f"{releases.environment!r} has no champion; name a --model, or deploy one")
    return champion


def bring(runner: Runner, run_id: str, output: Path) -> int:
    """Write what a run predicted into a file, CSV or Parquet by its name, and return the number of rows."""
    if output.suffix not in SUFFIXES:
        raise WrongUsage(f"{output} ends in neither {' nor '.join(SUFFIXES)}, so its format is not known")
    rows = runner.output(PIPELINE, "predict_day", run_id)
    with writer(output, output.suffix, rows.schema) as file:
        file.write_table(rows)
    return int(rows.num_rows)


PIPELINE = Pipeline("batch", BatchParams, predicted=predict_day)
