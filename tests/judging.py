"""Canaries by the thousand: a model against itself, and against what was planted, each looked at again and again.

The tests hold the judge to its promise with these; ``make bench`` prints the rates.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from pipelines.bootstrap import Platform
from pipelines.config import CanaryStrategy, Phase, ReleaseFile, ReleaseState, Strategy, Variant
from pipelines.deployment.canary_analysis import AnalysisOutcome, analyse
from pipelines.deployment.traffic import Side, Traffic
from pipelines.feature import FeatureParams
from pipelines.feature.labels import known_labels
from pipelines.feature.offline import with_features
from pipelines.registry.scoring import Scorer, columns
from pipelines.serving.routing import to_challenger

DAY = timedelta(days=1)
CANARY = CanaryStrategy(steps=(0.5,), bake=DAY)
LOOK_EVERY = 100


def live_state(strategy: Strategy = CANARY) -> ReleaseState:
    """Return the state of a live release of a model that does not exist."""
    champion, challenger = (Variant(model=letter * 64, version=number) for letter, number in (("a", 1), ("b", 2)))
    file = ReleaseFile(
        champion=champion, challenger=challenger, feature_views={}, request_schema="c" * 64, strategy=strategy
    )
    return ReleaseState(phase=Phase.BAKE, champion=champion, challenger=challenger, proposal=file)


class Recorded(NamedTuple):
    """Requests in their order, with a real model's predictions and their labels, NaN where none came."""

    keys: list[str]
    prediction: np.ndarray
    label: np.ndarray


def record(platform: Platform, start: datetime, end: datetime) -> Recorded:
    """Return what the first model of a platform predicts for the requests of ``[start, end)``, and their labels."""
    platform.run("feature", FeatureParams(start=start, end=end))
    problem, config = platform.problem, platform.problem.config
    requests = platform.tables.read(f"raw.{config.request.table}", time=config.event_time, start=start, end=end)
    frame = with_features(problem, platform.tables, {}, requests.sort_by(config.event_time))
    score = Scorer(platform.models.onnx(platform.models.versions()[1]), problem.features)
    labels = known_labels(problem, platform.tables, end)
    known = dict(zip(labels["key"].to_pylist(), labels["label"].to_pylist(), strict=True))
    keys = frame["key"].to_pylist()
    return Recorded(keys, score(columns(frame, problem.features)), np.array([known.get(key, np.nan) for key in keys]))


def canary(platform: Platform, given: Recorded, version: int, **worse: float) -> int | None:
    """Canary a model against itself on recorded requests, split as the app splits them for a version.

    ``worse`` plants something in the challenger: ``errors`` (a share of its requests), ``latency`` (a factor) or
    ``offset`` (added to its predictions). Both variants err in one of a hundred requests, which is allowed. Returns
    after how many requests the judge failed it, looking after every hundredth, or None.
    """
    random = np.random.default_rng(version)
    rows = len(given.keys)
    challenged = np.array([to_challenger(key, version, 0.5) for key in given.keys])
    errors = random.random(rows) < np.where(challenged, worse.get("errors", 0.01), 0.01)
    latency = random.exponential(30.0, rows) * np.where(challenged, worse.get("latency", 1.0), 1.0)
    moved = given.prediction + np.where(challenged, worse.get("offset", 0.0), 0.0)
    prediction = np.where(errors, np.nan, moved)
    units = np.arange(rows)
    for seen in range(LOOK_EVERY, rows + 1, LOOK_EVERY):
        champion, challenger = (
            Side(*(values[:seen][chosen[:seen]] for values in (prediction, latency, errors, given.label, units)))
            for chosen in (~challenged, challenged)
        )
        verdict = analyse(platform.problem.config, live_state(), Traffic(champion, challenger), timedelta(minutes=seen))
        if verdict.outcome is AnalysisOutcome.FAIL:
            return seen
    return None


def failed(platform: Platform, given: Recorded, canaries: int, **worse: float) -> list[int]:
    """Return after how many requests each canary was failed, of those that were."""
    return sorted(_failed(platform, given, canaries, worse))


def _failed(platform: Platform, given: Recorded, canaries: int, worse: dict[str, float]) -> Iterator[int]:
    for version in range(canaries):
        seen = canary(platform, given, version, **worse)
        if seen is not None:
            yield seen
