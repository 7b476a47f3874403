"""The release tick: analyse a live release and make the transition that follows. Runs each minute and on alarms."""

from datetime import datetime, timedelta
from typing import NamedTuple

from pipelines.config import CanaryStrategy, Phase, Problem, ReleaseEntry, Shadow
from pipelines.deployment.canary_analysis import AnalysisOutcome, Verdict, analyse, waiting
from pipelines.deployment.target import ReleaseTarget, Unservable
from pipelines.deployment.traffic import live_traffic
from pipelines.deployment.transitions import Actor, StaleDecision, advance, conclude, promote, roll_back
from pipelines.serving.instances import alive
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.tables import Tables

_GRACE = timedelta(minutes=2)
"""How long instances may retry loading a challenger before the release fails."""


class Judged(NamedTuple):
    """A verdict, and the latest entry of the release log afterwards."""

    verdict: Verdict
    entry: ReleaseEntry


def tick(
    problem: Problem, tables: Tables, predictions: LogReader, target: ReleaseTarget, actor: Actor
) -> Judged | None:
    """Analyse the live release, if any, and advance, promote, conclude or roll it back as the verdict says.

    A challenger that passes, and that this code or an instance cannot serve, waits, and is concluded when the patience
    of the analysis is over.

    Safe to kill anywhere and to run concurrently: each process decides on the latest transition of the log, and only
    the first to append wins.
    """
    latest = target.latest()
    if latest is None or not latest.state.live or latest.state.since is None:
        return None
    verdict, since = _loads_nowhere(target, latest, actor.at), latest.state.since
    if verdict is None:
        traffic = live_traffic(problem, tables, predictions, latest.state, {latest.number}, since, actor.at)
        verdict = analyse(problem.config, latest.state, traffic, actor.at - since)
    try:
        try:
            return Judged(verdict, _move(target, actor, verdict, latest))
        except Unservable as error:
            held = waiting(problem.config, latest.state, f"{verdict.reason}; but {error}", actor.at - since)
            return Judged(held, _move(target, actor, held, latest))
    except StaleDecision:  # another process was first, so the verdict is out of date
        return None


def _loads_nowhere(target: ReleaseTarget, latest: ReleaseEntry, at: datetime) -> Verdict | None:
    """Return a failing verdict when every instance refused to load the challenger; None otherwise."""
    heard = [one.standing for one in alive(target.instances())]
    refused = [one for one in heard if one.serves == latest.number and one.error and one.challenger is None]
    if not heard or len(refused) < len(heard) or at - latest.at < _GRACE:
        return None
    return Verdict(
        outcome=AnalysisOutcome.FAIL, reason=f"no instance of the serving app can load it: {refused[0].error}"
    )


def _move(target: ReleaseTarget, actor: Actor, verdict: Verdict, latest: ReleaseEntry) -> ReleaseEntry:
    match verdict.outcome:
        case AnalysisOutcome.INSUFFICIENT:
            return latest
        case AnalysisOutcome.FAIL:
            return roll_back(target, actor, verdict.reason, after=latest.number)
        case AnalysisOutcome.UNDECIDED | AnalysisOutcome.EXPIRED:
            return conclude(target, actor, verdict.reason, after=latest.number)
    match latest.state.strategy:
        case Shadow():
            return conclude(target, actor, verdict.reason, after=latest.number)
        case CanaryStrategy() if latest.state.phase is Phase.ROLLING:
            return advance(target, actor, verdict.reason, after=latest.number)
    return promote(target, actor, verdict.reason, after=latest.number)
