"""Lineage: from a prediction, or a model, back to the run, the data and the commit it came from."""

from datetime import datetime

from rich.tree import Tree

from pipelines.config import Code, FeatureVersions, Manifest, Period, StrictModel
from pipelines.feature.request import without_nan
from pipelines.registry.model_store import ModelStore
from pipelines.storage.prediction_log import LogReader


class PredictionRecord(StrictModel):
    """A prediction in the log."""

    prediction_id: str
    key: str
    event_time: datetime
    variant: str
    prediction: float
    features: dict[str, float | str | None]


class Lineage(StrictModel):
    """Where a model came from, and the prediction in question, if any."""

    prediction: PredictionRecord | None
    model: str
    version: int
    run_id: str
    created: datetime
    estimator: str
    code: Code
    periods: dict[str, Period]
    feature_versions: FeatureVersions
    data: dict[str, int]


def of_model(models: ModelStore, reference: str, prediction: PredictionRecord | None = None) -> Lineage:
    """Return the lineage of a model, by version or digest; errors as :meth:`ModelStore.resolve`."""
    digest, version = models.resolve(reference)
    manifest: Manifest = models.manifest(digest)
    return Lineage(
        prediction=prediction,
        model=digest,
        version=version,
        run_id=manifest.run_id,
        created=manifest.created,
        estimator=manifest.estimator,
        code=manifest.code,
        periods=manifest.periods,
        feature_versions=manifest.feature_versions,
        data=manifest.data,
    )


def of_prediction(models: ModelStore, predictions: LogReader, prediction_id: str) -> Lineage | None:
    """Return the lineage of a logged prediction, or None when the log has no such prediction."""
    row = predictions.find(prediction_id)
    if row is None:
        return None
    features = {name.removeprefix("feature_"): row[name] for name in row if name.startswith("feature_")}
    record = PredictionRecord(
        prediction_id=prediction_id,
        key=row["key"],
        event_time=row["event_time"],
        variant=row["variant"],
        prediction=row["prediction"],
        features=dict(zip(features, without_nan(features.values()), strict=True)),
    )
    return of_model(models, row["model"], record)


def tree(found: Lineage) -> Tree:
    """Return a lineage as a tree for the terminal, the prediction or the model at its root."""
    model = f"[bold]v{found.version}[/] {found.estimator} [dim]{found.model[:12]}[/]"
    root = branch = Tree(model)
    if found.prediction:
        asked = found.prediction
        when = f"{asked.event_time:%Y-%m-%d %H:%M} UTC"
        root = Tree(f"[bold]{asked.prediction:.3f}[/] for {asked.key}, asked {when} [dim]{asked.prediction_id}[/]")
        branch = root.add(f"{asked.variant} {model}")
    run = branch.add(f"run {found.run_id} [dim]{found.created:%Y-%m-%d %H:%M}[/]")
    commit = f"commit {found.code.commit[:12]}{' with uncommitted changes' if found.code.modified else ''}"
    run.add(f"{commit} [dim]lock {found.code.lock_sha256[:8]}, problem {found.code.problem_sha256[:8]}[/]")
    train = found.periods["train"]
    data = run.add(f"{train.rows:,} requests, {train.start:%Y-%m-%d} to {train.end:%Y-%m-%d}")
    for table, snapshot in found.data.items():
        data.add(f"{table} [dim]snapshot {snapshot}[/]")
    return root
