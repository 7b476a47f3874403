"""Canary analysis: compares the challenger of a live release with its champion on the same traffic.

It tests errors, latency, the distribution of the predictions and, where labels allow, quality. Each is a sequential
test (``monitoring.sequential``), so that many analyses raise no more false alarms than one: over a whole release, a
challenger equal to its champion fails with a probability of at most ``1 - confidence``.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from math import log
from typing import NamedTuple

import numpy as np

from monitoring.metrics import row_losses
from monitoring.sequential import (
    Mean,
    difference_interval,
    distance_bound,
    larger_evidence,
    mean,
    rate_evidence,
    ratio_evidence,
    unit_means,
)
from pipelines.config import (
    AbTest,
    BlueGreen,
    CanaryStrategy,
    ProblemConfig,
    ReleaseState,
    Routing,
    Shadow,
    StrictModel,
    format_duration,
)
from pipelines.deployment.traffic import Side, Traffic

_TESTS = 4  # errors, latency, distribution, quality: they share the allowed false alarms
_SLOWEST = 0.05  # the share of the champion's answers above its 95th percentile
_MIN_UNITS = 20  # values of the sticky field that each variant needs before means are compared


class AnalysisOutcome(StrEnum):
    """What an analysis concludes about the challenger.

    ``pass``: continue the rollout. ``fail``: roll back. ``insufficient``: wait for more traffic or time.
    ``undecided``: an A/B test ended without a winner. ``expired``: the traffic that the analysis needs did not come in
    time.
    """

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    UNDECIDED = "undecided"
    EXPIRED = "expired"


class Verdict(StrictModel):
    """The outcome of an analysis, and its reason with numbers."""

    outcome: AnalysisOutcome
    reason: str


class _Comparison(NamedTuple):
    """Both variants' traffic in the present step, and the significance level of each test."""

    config: ProblemConfig
    champion_side: Side
    challenger_side: Side
    alpha: float

    @property
    def certain(self) -> float:
        """The logarithm of the e-value at which a test decides."""
        return log(1 / self.alpha)

    @property
    def answered(self) -> tuple[Side, Side]:
        return self.champion_side.answered(), self.challenger_side.answered()


def analyse(config: ProblemConfig, state: ReleaseState, traffic: Traffic | None, elapsed: timedelta) -> Verdict:
    """Analyse a live release on the traffic of its present step, ``elapsed`` after the step began."""
    verdict = _judge(config, state, traffic, elapsed)
    if verdict.outcome is not AnalysisOutcome.INSUFFICIENT:
        return verdict
    return waiting(config, state, verdict.reason, elapsed)


def waiting(config: ProblemConfig, state: ReleaseState, reason: str, elapsed: timedelta) -> Verdict:
    """Return the verdict on a release that has to wait for a reason: insufficient, or expired after the patience."""
    patience = config.canary_analysis.patience
    if elapsed < _step_length(state) + patience:
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason=reason)
    late = f"it could not go on within {format_duration(patience)} after the end of its step: {reason}"
    return Verdict(outcome=AnalysisOutcome.EXPIRED, reason=f"{late}; the champion stays")


def _judge(config: ProblemConfig, state: ReleaseState, traffic: Traffic | None, elapsed: timedelta) -> Verdict:
    if traffic is None:
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason="no traffic yet")
    pair = _Comparison(config, traffic.champion_side, traffic.challenger_side, _significance(config, state))
    for test in (_error_rate, _latency, _distribution, _cost if isinstance(state.strategy, AbTest) else _quality):
        if reason := test(pair):
            return Verdict(outcome=AnalysisOutcome.FAIL, reason=reason)
    if isinstance(state.strategy, AbTest):
        return _ab_test(pair, elapsed, state.strategy, _other_split(pair, state.routing))
    if reason := _other_split(pair, state.routing) or _reason_to_wait(pair, elapsed, _step_length(state)):
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason=reason)
    return Verdict(outcome=AnalysisOutcome.PASS, reason=_pass_reason(pair))


def _significance(config: ProblemConfig, state: ReleaseState) -> float:
    steps = len(state.strategy.steps) if isinstance(state.strategy, CanaryStrategy) else 1
    return (1 - config.canary_analysis.confidence) / _TESTS / steps


def _step_length(state: ReleaseState) -> timedelta:
    match state.strategy:
        case CanaryStrategy(bake=length) | BlueGreen(bake=length) | Shadow(duration=length) | AbTest(horizon=length):
            return length
    raise AssertionError("an all-at-once release has no canary analysis")


# ---- tests that can fail a challenger -----------------------------------------------------------------------------


def _error_rate(pair: _Comparison) -> str:
    failed, rows = int(pair.challenger_side.failed.sum()), pair.challenger_side.rows
    if rate_evidence(failed, rows, pair.config.canary_analysis.max_error_rate) < pair.certain:
        return ""
    return f"it failed {failed} of {rows} requests ({failed / rows:.1%})"


def _latency(pair: _Comparison) -> str:
    champion, challenger = pair.answered
    if min(champion.rows, challenger.rows) < pair.config.canary_analysis.min_predictions:
        return ""
    slow, _ = _slow_answers(pair)
    if rate_evidence(slow, challenger.rows, _SLOWEST) < pair.certain:
        return ""
    usual, now = (float(np.quantile(side.latency_ms, 0.95)) for side in (champion, challenger))
    return f"its 95th percentile of latency is {now:.1f} ms, the champion's {usual:.1f} ms"


def _slow_answers(pair: _Comparison) -> tuple[int, float]:
    """Return how many of the challenger's answers exceed the latency limit, and the limit in ms."""
    champion, challenger = pair.answered
    limits = pair.config.canary_analysis
    limit = max(limits.latency_ms, limits.slower * float(np.quantile(champion.latency_ms, 0.95)))
    return int((challenger.latency_ms > limit).sum()), limit


def _distribution(pair: _Comparison) -> str:
    champion, challenger = pair.answered
    if not champion.rows or not challenger.rows:
        return ""
    by_unit = [unit_means(side.prediction, side.unit) for side in (challenger, champion)]
    far = distance_bound(by_unit[0], by_unit[1], pair.alpha)
    if far <= pair.config.canary_analysis.max_shift:
        return ""
    usual, now = (float(side.prediction.mean()) for side in (champion, challenger))
    return (
        f"its predictions are distributed differently: mean {now:.3f}, the champion's {usual:.3f}; "
        f"Kolmogorov-Smirnov distance between units at least {far:.2f}"
    )


def _quality(pair: _Comparison) -> str:
    metric = pair.config.gates.champion_comparison.metric
    return _higher_loss(pair, metric, lambda value: f"{value:.4f}")


def _cost(pair: _Comparison) -> str:
    currency = pair.config.business.currency
    return _higher_loss(pair, "expected_cost", lambda value: f"{value:.2f} {currency}")


def _higher_loss(pair: _Comparison, metric: str, write: Callable[[float], str]) -> str:
    usual, now = losses(pair.config, metric, pair.champion_side, pair.challenger_side)
    if usual is None or now is None or larger_evidence(now, usual) < pair.certain:
        return ""
    labels = pair.challenger_side.labelled().rows
    return f"its {metric} is {write(now.value)}, the champion's {write(usual.value)}, over {labels} labels"


def losses(config: ProblemConfig, metric: str, *sides: Side) -> Iterator[Mean | None]:
    """Yield each side's mean loss on its labels, or None while there are too few to compare."""
    for side in sides:
        known = side.labelled()
        enough = known.rows >= config.canary_analysis.min_predictions and len(np.unique(known.unit)) >= _MIN_UNITS
        yield mean(row_losses(config, metric, known.label, known.prediction), known.unit) if enough else None


# ---- conditions for passing ---------------------------------------------------------------------------------------


def _reason_to_wait(pair: _Comparison, elapsed: timedelta, length: timedelta) -> str:
    """Return why the release must wait; empty when it may pass."""
    judged = pair.config.canary_analysis
    # Wait for labels only if they arrive within the step; otherwise the other tests decide.
    by_labels = pair.config.label.delay <= length
    seen = [side.labelled() if by_labels else side for side in pair.answered]
    if any(side.rows < judged.min_predictions for side in seen):
        what = "labelled predictions" if by_labels else "predictions"
        counts = f"{seen[0].rows} of the champion's and {seen[1].rows} of the challenger's"
        return f"{counts} {what}, {judged.min_predictions} of each are needed; send more traffic"
    if elapsed < length:
        return f"baking, {elapsed} of {length}"
    failed = pair.challenger_side.failed.mean()
    if failed > judged.max_error_rate:
        return f"it failed {failed:.1%} of its requests, which may be chance; send more traffic"
    slow, limit = _slow_answers(pair)
    if slow > _SLOWEST * pair.challenger_side.rows:
        return f"it often takes longer than {limit:.0f} ms, which may be chance; send more traffic"
    return ""


def _other_split(pair: _Comparison, routing: Routing) -> str:
    """Return why the traffic is not split as the routing says, which no comparison survives; empty when it may be."""
    share = routing.share
    if routing.mirror or not 0 < share < 1:
        return ""
    champion, challenger = (len(np.unique(side.unit)) for side in (pair.champion_side, pair.challenger_side))
    if ratio_evidence(challenger, champion + challenger, share) < pair.certain:
        return ""
    found = challenger / (champion + challenger)
    told = f"{found:.0%} of {champion + challenger:,} units were routed to the challenger, where {share:.0%} is set"
    return f"{told}: the variants answer different requests; find out what comes in between"


def _pass_reason(pair: _Comparison) -> str:
    return f"{pair.answered[1].rows:,} predictions, not shown to be slower or worse than the champion's"


def _ab_test(pair: _Comparison, elapsed: timedelta, strategy: AbTest, other_split: str) -> Verdict:
    """Say whether an A/B test shows the challenger to cost less, or is over; with another split it shows nothing."""
    if other_split:
        late = elapsed >= strategy.horizon
        outcome = AnalysisOutcome.UNDECIDED if late else AnalysisOutcome.INSUFFICIENT
        return Verdict(outcome=outcome, reason=f"{other_split}{'; the champion stays' if late else ''}")
    usual, now = losses(pair.config, "expected_cost", pair.champion_side, pair.challenger_side)
    if usual is not None and now is not None:
        low, high = difference_interval(now, usual, 2 * pair.alpha)
        currency = pair.config.business.currency
        effect = f"{now.value - usual.value:+.2f} {currency} a prediction [{low:+.2f}, {high:+.2f}]"
        if larger_evidence(usual, now) >= pair.certain:
            return Verdict(outcome=AnalysisOutcome.PASS, reason=f"it costs less: {effect}")
        if elapsed >= strategy.horizon:
            return Verdict(
                outcome=AnalysisOutcome.UNDECIDED, reason=f"no difference is shown: {effect}; the champion stays"
            )
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason=f"no difference is shown yet: {effect}")
    if elapsed >= strategy.horizon:
        return Verdict(outcome=AnalysisOutcome.UNDECIDED, reason="too few labels to compare; the champion stays")
    return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason="too few labels to compare yet")
