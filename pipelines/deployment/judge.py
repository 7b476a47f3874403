"""The judge of a canary: pass, fail or insufficient, from the two variants' traffic since the release started."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.drift import describe, psi
from monitoring.metrics import row_losses
from pipelines.deployment.transitions import Actor, Moved, promote, roll_back
from pipelines.labels import labelled_predictions
from pipelines.release_log import ReleaseLog
from pipelines.serving.log import LogReader
from pipelines.spec import FeatureType, Phase, Problem, ReleaseEntry, ReleaseState, Statement, Strict
from pipelines.tables import Tables

_RESAMPLES = 1000


class Outcome(StrEnum):
    """What a judgement says: let it serve, take it out, or wait for more traffic."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INSUFFICIENT = "insufficient"


class Verdict(Strict):
    """A judgement and its numbers."""

    outcome: Outcome
    reason: str


class Judged(NamedTuple):
    """A verdict, and the release log's latest entry after what followed from it."""

    verdict: Verdict
    entry: ReleaseEntry


def tick(problem: Problem, tables: Tables, predictions: LogReader, releases: ReleaseLog, actor: Actor) -> Judged | None:
    """Judge the rolling release, if there is one, and promote it or roll it back when the verdict says so."""
    latest = releases.latest()
    if latest is None or latest.state.phase is not Phase.ROLLING or latest.state.rolling_since is None:
        return None
    traffic = labelled_predictions(problem, tables, predictions, latest.state.rolling_since, actor.at)
    if traffic is not None:  # not of another release, whatever event times its requests had
        traffic = traffic.filter(pc.equal(traffic["release"], latest.number))
    verdict = judge(problem.statement, latest.state, traffic, actor.at)
    moves = {Outcome.PASS: promote, Outcome.FAIL: roll_back}
    if verdict.outcome in moves:
        try:
            latest = moves[verdict.outcome](releases, actor, verdict.reason, after=latest.number)
        except Moved:  # somebody else did while we looked; the verdict is on what rolls no more
            return None
    return Judged(verdict, latest)


def judge(statement: Statement, state: ReleaseState, traffic: pa.Table | None, now: datetime) -> Verdict:
    """Judge a rolling release on the labelled predictions made since it started."""
    assert state.rolling_since and state.bake and state.challenger, "only a rolling release is judged"
    if traffic is None:
        return Verdict(outcome=Outcome.INSUFFICIENT, reason="no traffic yet")
    champion, challenger = (traffic.filter(pc.equal(traffic["routed"], name)) for name in ("champion", "challenger"))
    answered = challenger.filter(pc.is_null(challenger["error"]))
    # Labels that come while the release bakes decide; where they come later, the shape of the predictions must do.
    by_labels = statement.label.delay <= state.bake
    seen = [_labelled(variant) if by_labels else variant for variant in (champion, answered)]
    enough = _enough(statement, *seen)
    failures = [_errs(statement, challenger)]
    if _enough(statement, champion, answered):
        failures.append(_slows(statement, champion, answered))
    if enough:
        failures.append(_degrades(statement, *seen) if by_labels else _shifts(statement, *seen))
    for failure in filter(None, failures):
        return Verdict(outcome=Outcome.FAIL, reason=failure)
    if not enough:
        what = "labelled predictions" if by_labels else "predictions"
        counts = f"{seen[0].num_rows} of the champion's and {seen[1].num_rows} of the challenger's"
        reason = f"{counts} {what}, {statement.canary.min_predictions} of each are needed; send more traffic"
        return Verdict(outcome=Outcome.INSUFFICIENT, reason=reason)
    if now < state.rolling_since + state.bake:
        until = state.rolling_since + state.bake
        return Verdict(outcome=Outcome.INSUFFICIENT, reason=f"baking until {until:%Y-%m-%d %H:%M}")
    told = f"{answered.num_rows:,} predictions, as fast and as good as the champion's"
    return Verdict(outcome=Outcome.PASS, reason=told)


def _enough(statement: Statement, *variants: pa.Table) -> bool:
    return all(variant.num_rows >= statement.canary.min_predictions for variant in variants)


def _labelled(variant: pa.Table) -> pa.Table:
    return variant.filter(pc.is_valid(variant["label"]))


def _errs(statement: Statement, challenger: pa.Table) -> str:
    errors = challenger.filter(pc.is_valid(challenger["error"]))
    share = errors.num_rows / max(1, challenger.num_rows)
    # Two errors at the least: one is an accident at any rate.
    if errors.num_rows < 2 or share <= statement.canary.max_error_rate:
        return ""
    return f"it failed {errors.num_rows} of {challenger.num_rows} requests ({share:.1%}), which the champion answered"


def _slows(statement: Statement, champion: pa.Table, challenger: pa.Table) -> str:
    canary = statement.canary
    usual, now = (float(np.quantile(variant["latency_ms"].to_numpy(), 0.95)) for variant in (champion, challenger))
    if now <= canary.latency_ms or now <= canary.slower * usual:
        return ""
    return f"95 % of its answers take up to {now:.1f} ms, the champion's {usual:.1f} ms"


def _shifts(statement: Statement, champion: pa.Table, challenger: pa.Table) -> str:
    """Say how far the predictions moved, when it is further than the limit and what chance adds to it.

    Of two samples of one distribution the index is about chi-square, scaled by 1/n + 1/m (Yurdakul 2018, Statistical
    Properties of Population Stability Index).
    """
    from scipy.stats import chi2

    canary = statement.canary
    reference = describe(champion["prediction"].to_numpy(), FeatureType.NUMERIC)
    index = psi(reference, challenger["prediction"].to_numpy())
    scale = 1 / champion.num_rows + 1 / challenger.num_rows
    chance = float(chi2.ppf(canary.confidence, max(1, len(reference.edges)))) * scale
    if index <= canary.psi + chance:
        return ""
    usual, now = (float(variant["prediction"].to_numpy().mean()) for variant in (champion, challenger))
    return f"its predictions are distributed otherwise: mean {now:.3f}, the champion's {usual:.3f}, PSI {index:.2f}"


def _degrades(statement: Statement, champion: pa.Table, challenger: pa.Table) -> str:
    """Say how much worse the challenger is, when it is with the stated confidence, by a bootstrap of each variant."""
    losses = [_losses(statement, variant) for variant in (champion, challenger)]
    generator = np.random.default_rng(statement.training.seed)
    usual, now = (_means(loss, generator) for loss in losses)
    if float(np.quantile(now - usual, 1 - statement.canary.confidence)) <= 0:
        return ""
    metric = statement.gates.champion_comparison.metric
    return (
        f"its {metric} is {losses[1].mean():.4f}, the champion's {losses[0].mean():.4f}, over {len(losses[1])} labels"
    )


def _losses(statement: Statement, variant: pa.Table) -> np.ndarray[Any, Any]:
    labels, predictions = variant["label"].to_numpy(), variant["prediction"].to_numpy()
    return row_losses(statement, statement.gates.champion_comparison.metric, labels, predictions)


def _means(losses: np.ndarray[Any, Any], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    drawn = generator.integers(len(losses), size=(_RESAMPLES, len(losses)))
    return np.asarray(losses[drawn].mean(axis=1))
