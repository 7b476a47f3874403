"""What asks for a new model without an alarm: the time since the last training's data, and the labels since then."""

from collections.abc import Iterator
from datetime import datetime

from pipelines.config import Problem, format_duration
from pipelines.feature.labels import known_labels
from pipelines.monitor import Trigger
from pipelines.registry.model_store import ModelStore
from pipelines.storage.tables import Tables


def due(problem: Problem, tables: Tables, models: ModelStore, as_of: datetime) -> Iterator[Trigger]:
    """Yield the triggers of ``every`` and ``new_labels``, as they are stated; none before there is a model."""
    limits, latest = problem.config.continuous_training, models.latest_versions(1)
    if not latest or (limits.every is None and limits.new_labels is None):
        return
    ((version, digest),) = latest
    seen = max(period.end for period in models.manifest(digest).periods.values())
    if limits.every is not None and as_of >= seen + limits.every:
        every = format_duration(limits.every)
        reason = f"the data of v{version} ends on {seen:%Y-%m-%d}, and a model is due every {every}"
        yield Trigger(kind="schedule", reason=reason, at=as_of)
    if limits.new_labels is not None and as_of > seen:
        came = known_labels(problem, tables, as_of, seen).num_rows
        if came >= limits.new_labels:
            reason = f"{came:,} labels came after the data of v{version}, at least {limits.new_labels:,}"
            yield Trigger(kind="new data", reason=reason, at=as_of)
