"""The comparison of a release's variants on their common traffic, in business money."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from monitoring.metrics import decision_threshold
from monitoring.sequential import difference_interval
from pipelines.config import Problem, ProblemConfig, ReleaseEntry, StrictModel, Task, UserError, Variant
from pipelines.deployment.canary_analysis import losses
from pipelines.deployment.traffic import Traffic, live_traffic
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.tables import Tables


class ComparedAnswers(StrictModel):
    """One variant's answers: counts, failures, latency in ms and, where labels are known, cost per prediction."""

    version: int
    predictions: int
    failed: int
    latency_p50: float
    latency_p95: float
    mean_prediction: float
    labels: int
    cost: float | None


class Effect(StrictModel):
    """The challenger's cost minus the champion's, with an interval that holds however often one looks."""

    per_prediction: float
    low: float
    high: float
    per_day: float


class Compared(StrictModel):
    """A release's two variants, compared.

    ``disagreement`` is the share of requests on which two classifiers would act differently, or the mean absolute
    difference of two regressions; only mirrored releases have it, since it needs both answers to a request.
    """

    strategy: str
    outcome: str
    since: datetime
    until: datetime
    champion_answers: ComparedAnswers
    challenger_answers: ComparedAnswers
    effect: Effect | None
    disagreement: float | None


def compare_live(
    problem: Problem, tables: Tables, predictions: LogReader, releases: ReleaseLog, as_of: datetime
) -> Compared:
    """Compare the variants of the latest release that had a challenger, from its start to its end or ``as_of``.

    Raises:
        UserError: when there was no such release, or no traffic.
    """
    live, end = _latest(releases)
    first = live[0]
    assert first.state.champion and first.state.challenger
    until = min(end.at, as_of) if end else as_of
    numbers = {entry.number for entry in live}
    traffic = live_traffic(problem, tables, predictions, first.state, numbers, first.at, as_of)
    if traffic is None or not traffic.champion_side.rows or not traffic.challenger_side.rows:
        raise UserError("the variants have not answered anything yet; send traffic, for example with 'mlops replay'")
    config, mirrored = problem.config, first.state.routing.mirror
    return Compared(
        strategy=first.state.strategy.kind,
        outcome=end.reason if end else "live",
        since=first.at,
        until=until,
        champion_answers=_answers(config, traffic, first.state.champion, challenger=False),
        challenger_answers=_answers(config, traffic, first.state.challenger, challenger=True),
        effect=_effect(config, traffic, mirrored, (until - first.at).total_seconds() / 86400),
        disagreement=_disagreement(config, traffic) if mirrored else None,
    )


def _latest(releases: ReleaseLog) -> tuple[list[ReleaseEntry], ReleaseEntry | None]:
    """Return the transitions during which the latest challenger was live, and the one that ended it, if any."""
    entries = list(releases.entries())
    starts = [place for place, entry in enumerate(entries) if entry.action == "start"]
    if not starts:
        raise UserError("no release of this environment had a challenger; propose one with 'mlops propose'")
    after = entries[starts[-1] :]
    live = [entry for entry in after if entry.action in ("start", "advance")]
    ended = [entry for entry in after if entry.action in ("promote", "conclude", "roll back")]
    return live, ended[0] if ended else None


def _answers(config: ProblemConfig, traffic: Traffic, variant: Variant, challenger: bool) -> ComparedAnswers:
    side = traffic.challenger_side if challenger else traffic.champion_side
    answered = side.answered()
    (cost,) = losses(config, "expected_cost", side)
    return ComparedAnswers(
        version=variant.version,
        predictions=side.rows,
        failed=int(side.failed.sum()),
        latency_p50=float(np.quantile(answered.latency_ms, 0.5)) if answered.rows else float("nan"),
        latency_p95=float(np.quantile(answered.latency_ms, 0.95)) if answered.rows else float("nan"),
        mean_prediction=float(answered.prediction.mean()) if answered.rows else float("nan"),
        labels=side.labelled().rows,
        cost=cost.value if cost else None,
    )


def _effect(config: ProblemConfig, traffic: Traffic, mirrored: bool, days: float) -> Effect | None:
    usual, now = losses(config, "expected_cost", traffic.champion_side, traffic.challenger_side)
    if usual is None or now is None:
        return None
    low, high = difference_interval(now, usual, 1 - config.canary_analysis.confidence)
    difference = now.value - usual.value
    rows = traffic.champion_side.rows if mirrored else traffic.champion_side.rows + traffic.challenger_side.rows
    return Effect(per_prediction=difference, low=low, high=high, per_day=difference * rows / max(days, 1 / 24))


def _disagreement(config: ProblemConfig, traffic: Traffic) -> float:
    both = ~traffic.champion_side.failed & ~traffic.challenger_side.failed
    champion, challenger = (side.prediction[both] for side in traffic)
    if config.task is Task.BINARY:
        threshold = decision_threshold(config)
        return float(((champion >= threshold) != (challenger >= threshold)).mean())
    return float(np.abs(champion - challenger).mean())


def rows(config: ProblemConfig, compared: Compared) -> Iterator[tuple[str, ...]]:
    """Yield the comparison for people: rows of a name and a text, or of a name and both variants' values."""
    currency = config.business.currency
    yield "strategy", f"{compared.strategy}, {compared.since:%Y-%m-%d %H:%M} to {compared.until:%Y-%m-%d %H:%M}"
    yield "outcome", compared.outcome
    yield "", "champion", "challenger"
    fields = [("version", "version", "v{}"), ("predictions", "predictions", "{:,}"), ("failed", "failed", "{:,}")]
    fields += [("latency p50 ms", "latency_p50", "{:.2f}"), ("latency p95 ms", "latency_p95", "{:.2f}")]
    fields += [("mean prediction", "mean_prediction", "{:.3f}"), ("labels", "labels", "{:,}")]
    for title, field, form in fields:
        yield (
            title,
            *(form.format(getattr(side, field)) for side in (compared.champion_answers, compared.challenger_answers)),
        )
    if compared.disagreement is not None:
        what = "act differently" if config.task is Task.BINARY else "differ on average"
        told = f"{compared.disagreement:.1%}" if config.task is Task.BINARY else f"{compared.disagreement:.3f}"
        yield "disagreement", f"{told} ({what})"
    if compared.effect is None:
        yield "effect", "too few labels to tell"
        return
    effect, sure = compared.effect, config.canary_analysis.confidence
    bounds = f"{sure:.0%} sure between {effect.low:+.3f} and {effect.high:+.3f}"
    yield "effect", f"{effect.per_prediction:+.3f} {currency} a prediction, {bounds}; {effect.per_day:+,.0f} a day"
    yield "decision", _decision(effect)


def _decision(effect: Effect) -> str:
    if effect.high < 0:
        return "the challenger costs less: promote it"
    if effect.low > 0:
        return "the challenger costs more: keep the champion"
    return "no difference is shown: keep the champion, or go on"
