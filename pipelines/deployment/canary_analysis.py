"""The judge of a live release: its challenger against its champion on the same traffic, at every look.

Errors, latency, the distribution of the predictions and, where labels allow, quality. Each is a sequential test
(``monitoring.sequential``), so that looking often raises no more false alarms than looking once: over a whole release,
a challenger like its champion is failed with a probability of at most ``1 - confidence``.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from math import log
from typing import NamedTuple

import numpy as np

from monitoring.metrics import row_losses
from monitoring.sequential import Mean, difference_interval, distance_bound, larger_evidence, mean, rate_evidence
from pipelines.config import (
    AbTest,
    BlueGreen,
    CanaryStrategy,
    ProblemConfig,
    ReleaseState,
    Shadow,
    StrictModel,
    format_duration,
)
from pipelines.deployment.traffic import Side, Traffic

_TESTS = 4  # errors, latency, distribution, quality: each gets its part of the false alarms that are allowed
_SLOWEST = 0.05  # of the champion's answers take longer than its 95th percentile
_MIN_UNITS = 20  # values of the sticky field that each variant needs before their means say anything


class AnalysisOutcome(StrEnum):
    """What a judgement says: let it serve, take it out, wait for more traffic, or end it without a winner.

    It ends so when an A/B test is over, and when what any release needs did not come in time.
    """

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    UNDECIDED = "undecided"
    EXPIRED = "expired"


class Verdict(StrictModel):
    """A judgement and its numbers."""

    outcome: AnalysisOutcome
    reason: str


class _Case(NamedTuple):
    """What is judged: both sides' traffic of this step, and how sure each test must be."""

    config: ProblemConfig
    champion_side: Side
    challenger_side: Side
    alpha: float

    @property
    def certain(self) -> float:
        """How much evidence (the logarithm of an e-value) decides."""
        return log(1 / self.alpha)

    @property
    def answered(self) -> tuple[Side, Side]:
        return self.champion_side.answered(), self.challenger_side.answered()


def analyse(config: ProblemConfig, state: ReleaseState, traffic: Traffic | None, elapsed: timedelta) -> Verdict:
    """Judge a live release on the traffic of its present step, ``elapsed`` after the step began."""
    verdict, patience = _judged(config, state, traffic, elapsed), config.canary_analysis.patience
    if verdict.outcome is not AnalysisOutcome.INSUFFICIENT or elapsed < _length(state) + patience:
        return verdict
    late = f"it could not be judged within {format_duration(patience)} after the end of its step: {verdict.reason}"
    return Verdict(outcome=AnalysisOutcome.EXPIRED, reason=f"{late}; the champion stays")


def _judged(config: ProblemConfig, state: ReleaseState, traffic: Traffic | None, elapsed: timedelta) -> Verdict:
    if traffic is None:
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason="no traffic yet")
    case = _Case(config, traffic.champion_side, traffic.challenger_side, _alpha(config, state))
    for test in (_errs, _slows, _shifts, _costs if isinstance(state.strategy, AbTest) else _degrades):
        if reason := test(case):
            return Verdict(outcome=AnalysisOutcome.FAIL, reason=reason)
    if isinstance(state.strategy, AbTest):
        return _experiment(case, elapsed, state.strategy)
    return _wait(case, elapsed, _length(state)) or Verdict(outcome=AnalysisOutcome.PASS, reason=_praise(case))


def _alpha(config: ProblemConfig, state: ReleaseState) -> float:
    steps = len(state.strategy.steps) if isinstance(state.strategy, CanaryStrategy) else 1
    return (1 - config.canary_analysis.confidence) / _TESTS / steps


def _length(state: ReleaseState) -> timedelta:
    match state.strategy:
        case CanaryStrategy(bake=length) | BlueGreen(bake=length) | Shadow(duration=length) | AbTest(horizon=length):
            return length
    raise AssertionError("all-at-once is never judged")


# ---- what fails a challenger ------------------------------------------------------------------------------------


def _errs(case: _Case) -> str:
    failed, rows = int(case.challenger_side.failed.sum()), case.challenger_side.rows
    if rate_evidence(failed, rows, case.config.canary_analysis.max_error_rate) < case.certain:
        return ""
    return f"it failed {failed} of {rows} requests ({failed / rows:.1%}), which the champion answered"


def _slows(case: _Case) -> str:
    champion, challenger = case.answered
    if min(champion.rows, challenger.rows) < case.config.canary_analysis.min_predictions:
        return ""
    slow, _ = _slow(case)
    if rate_evidence(slow, challenger.rows, _SLOWEST) < case.certain:
        return ""
    usual, now = (float(np.quantile(side.latency_ms, 0.95)) for side in (champion, challenger))
    return f"95 % of its answers take up to {now:.1f} ms, the champion's {usual:.1f} ms"


def _slow(case: _Case) -> tuple[int, float]:
    """Return how many of the challenger's answers take longer than they may, and how long that is in ms."""
    champion, challenger = case.answered
    limits = case.config.canary_analysis
    limit = max(limits.latency_ms, limits.slower * float(np.quantile(champion.latency_ms, 0.95)))
    return int((challenger.latency_ms > limit).sum()), limit


def _shifts(case: _Case) -> str:
    champion, challenger = case.answered
    if not champion.rows or not challenger.rows:
        return ""
    far = distance_bound(challenger.prediction, champion.prediction, case.alpha)
    if far <= case.config.canary_analysis.max_shift:
        return ""
    usual, now = (float(side.prediction.mean()) for side in (champion, challenger))
    return (
        f"its predictions are distributed otherwise: mean {now:.3f}, the champion's {usual:.3f}, at least "
        f"{far:.2f} apart (Kolmogorov-Smirnov)"
    )


def _degrades(case: _Case) -> str:
    metric = case.config.gates.champion_comparison.metric
    return _worse(case, metric, lambda value: f"{value:.4f}")


def _costs(case: _Case) -> str:
    currency = case.config.business.currency
    return _worse(case, "expected_cost", lambda value: f"{value:.2f} {currency}")


def _worse(case: _Case, metric: str, write: Callable[[float], str]) -> str:
    usual, now = losses(case.config, metric, case.champion_side, case.challenger_side)
    if usual is None or now is None or larger_evidence(now, usual) < case.certain:
        return ""
    labels = case.challenger_side.labelled().rows
    return f"its {metric} is {write(now.value)}, the champion's {write(usual.value)}, over {labels} labels"


def losses(config: ProblemConfig, metric: str, *sides: Side) -> Iterator[Mean | None]:
    """Yield each side's mean loss on its labels, or None while there are too few to compare."""
    for side in sides:
        known = side.labelled()
        enough = known.rows >= config.canary_analysis.min_predictions and len(np.unique(known.unit)) >= _MIN_UNITS
        yield mean(row_losses(config, metric, known.label, known.prediction), known.unit) if enough else None


# ---- what lets it go on -------------------------------------------------------------------------------------------


def _wait(case: _Case, elapsed: timedelta, length: timedelta) -> Verdict | None:
    """Return why the release must wait, or None when nothing speaks against it any more."""
    judged = case.config.canary_analysis
    # Labels that come while the step lasts are waited for; where they come later, the other tests must do.
    by_labels = case.config.label.delay <= length
    seen = [side.labelled() if by_labels else side for side in case.answered]
    reason = ""
    if any(side.rows < judged.min_predictions for side in seen):
        what = "labelled predictions" if by_labels else "predictions"
        counts = f"{seen[0].rows} of the champion's and {seen[1].rows} of the challenger's"
        reason = f"{counts} {what}, {judged.min_predictions} of each are needed; send more traffic"
    elif elapsed < length:
        reason = f"baking, {elapsed} of {length}"
    elif case.challenger_side.failed.mean() > judged.max_error_rate:
        share = case.challenger_side.failed.mean()
        reason = f"it failed {share:.1%} of its requests, which may be chance; send more traffic"
    elif _slow(case)[0] > _SLOWEST * case.challenger_side.rows:
        reason = f"it often takes longer than {_slow(case)[1]:.0f} ms, which may be chance; send more traffic"
    return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason=reason) if reason else None


def _praise(case: _Case) -> str:
    return f"{case.answered[1].rows:,} predictions, not shown to be slower or worse than the champion's"


def _experiment(case: _Case, elapsed: timedelta, strategy: AbTest) -> Verdict:
    """Say whether an A/B test shows the challenger to cost less, or is over."""
    usual, now = losses(case.config, "expected_cost", case.champion_side, case.challenger_side)
    if usual is not None and now is not None:
        low, high = difference_interval(now, usual, 2 * case.alpha)
        currency = case.config.business.currency
        effect = f"{now.value - usual.value:+.2f} {currency} a prediction [{low:+.2f}, {high:+.2f}]"
        if larger_evidence(usual, now) >= case.certain:
            return Verdict(outcome=AnalysisOutcome.PASS, reason=f"it costs less: {effect}")
        if elapsed >= strategy.horizon:
            return Verdict(
                outcome=AnalysisOutcome.UNDECIDED, reason=f"no difference is shown: {effect}; the champion stays"
            )
        return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason=f"no difference is shown yet: {effect}")
    if elapsed >= strategy.horizon:
        return Verdict(outcome=AnalysisOutcome.UNDECIDED, reason="too few labels to compare; the champion stays")
    return Verdict(outcome=AnalysisOutcome.INSUFFICIENT, reason="too few labels to compare yet")
