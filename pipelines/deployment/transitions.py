"""The transitions of a release. Each appends one entry to the release log, and nothing else changes its state.

proposed → approved → rolling (a canary's steps, a shadow, an A/B test) → bake (the last share) → promoted. Rolling and
bake may also end as rolled back, or as concluded: a shadow, an undecided A/B test, or a release that could not be
analysed in time. All-at-once goes from approved to promoted. A proposed or approved release may be withdrawn. The rule
book (``release_rules``) says which transition is allowed.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.config import (
    Action,
    BlueGreen,
    CanaryStrategy,
    Manifest,
    Phase,
    Refused,
    ReleaseEntry,
    ReleaseFile,
    ReleaseState,
    Variant,
)
from pipelines.deployment import release_rules
from pipelines.deployment.target import ReleaseTarget, check
from pipelines.registry.release_log import Conflict


class Actor(NamedTuple):
    """Who makes a transition, and when."""

    who: str
    at: datetime


class StaleDecision(Refused):
    """Another process made a transition after this one was decided."""


class _Transition(NamedTuple):
    action: Action
    variant: Variant
    reason: str
    change: dict[str, Any]
    pull: int | None = None


Decide = Callable[[ReleaseState, ReleaseEntry | None], _Transition | None]
"""Decides from the present state and the latest entry; None makes no transition."""


def propose(target: ReleaseTarget, actor: Actor, release: ReleaseFile, after: int | None = None) -> ReleaseEntry:
    """Propose a release file. Proposing a quarantined model takes it out of quarantine.

    Raises:
        Refused: with each reason of the rule book (:func:`pipelines.deployment.release_rules.refusals`).
        StaleDecision: as :func:`promote`; ``after`` is 0 for a log without transitions.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        facts = target.facts(release, state, actor.at)
        check(list(release_rules.refusals("propose", release, facts)))
        assert isinstance(facts.manifest, Manifest), "a model without a manifest is refused"
        quarantined = {model: why for model, why in state.quarantined.items() if model != release.released.model}
        change = {"phase": Phase.PROPOSED, "proposal": release, "quarantined": quarantined}
        reason = facts.manifest.reason
        if release.override:
            reason = f"override of the gates: {release.override}"
        elif facts.returns(release):
            reason = "back to an earlier champion"
        return _Transition("propose", release.released, reason, change)

    return _append(target, actor, "propose", decide, after)


def approve(
    target: ReleaseTarget,
    actor: Actor,
    release: ReleaseFile,
    how: str = "",
    pull: int | None = None,
    after: int | None = None,
) -> ReleaseEntry:
    """Approve the release file as it was proposed.

    ``how`` is recorded as the reason, ``pull`` as the number of the pull request whose review approved it.

    Errors as :func:`propose`.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        check(list(release_rules.refusals("approve", release, target.facts(release, state, actor.at))))
        return _Transition("approve", release.released, how, {"phase": Phase.APPROVED}, pull)

    return _append(target, actor, "approve", decide, after)


def start(target: ReleaseTarget, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Start the approved release: its model gets all traffic, or the first share of its strategy.

    Errors as :func:`propose`.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        check(list(release_rules.refusals("start", release, target.facts(release, state, actor.at))))
        if release.challenger is None:
            return _Transition("promote", release.champion, "takes all traffic at once", _promoted(release.champion))
        change = {"challenger": release.challenger, "step": 0, "since": actor.at, "phase": _phase(release, 0)}
        return _Transition("start", release.challenger, _traffic(state.model_copy(update=change)), change)

    return _append(target, actor, "start", decide)


def advance(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Advance a canary to its next step; errors as :func:`promote`."""

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        assert state.proposal, "only a live release is advanced"
        step, challenger = state.step + 1, _challenger(state)
        target.check_servable(challenger)
        change = {"step": step, "since": actor.at, "phase": _phase(state.proposal, step)}
        return _Transition("advance", challenger, f"{_traffic(state.model_copy(update=change))}: {reason}", change)

    return _append(target, actor, "advance", decide, after)


def promote(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Make the challenger the champion.

    Raises:
        Unservable: when the running code or an instance of the app cannot serve the model. What it takes the place of
            is not asked for: the transition is the way away from a champion that cannot be served.
        Refused: when it is not allowed in this phase.
        StaleDecision: when the latest transition is no longer ``after``, the one that the decision was based on.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        challenger = _challenger(state)
        target.check_servable(challenger)
        return _Transition("promote", challenger, reason, _promoted(challenger))

    return _append(target, actor, "promote", decide, after)


def conclude(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """End a live release and keep the champion, as at the end of a shadow; errors as :func:`promote`."""

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Transition:
        return _Transition("conclude", _challenger(state), reason, _ended(Phase.CONCLUDED))

    return _append(target, actor, "conclude", decide, after)


def roll_back(
    target: ReleaseTarget,
    actor: Actor,
    reason: str,
    to: Variant | None = None,
    champion_out: bool = False,
    after: int | None = None,
) -> ReleaseEntry:
    """Take a model out of service and quarantine it, or withdraw a pending release (:func:`release_rules.way_back`).

    When the latest transition did that already, returns it and does nothing.

    Raises:
        StaleDecision: as :func:`promote`; without ``after``, it acts on the latest state.
        Unservable: when the running code or an instance of the app cannot serve the champion to return to.
        Refused: when there is nothing to remove, or no champion to return to.
    """

    def decide(state: ReleaseState, latest: ReleaseEntry | None) -> _Transition | None:
        back = release_rules.way_back(latest, target.releases.tenures(), to, champion_out)
        if back.action is None:
            return None
        if back.action == "withdraw":
            return _Transition("withdraw", back.out, reason, {"phase": Phase.WITHDRAWN})
        if back.champion and back.champion != state.champion:
            target.check_servable(back.champion)
        quarantined = {**state.quarantined, back.out.model: reason}
        change = _ended(Phase.ROLLED_BACK) | {"champion": back.champion, "quarantined": quarantined}
        return _Transition("roll back", back.out, reason, change)

    return _append(target, actor, "roll back", decide, after)


def _challenger(state: ReleaseState) -> Variant:
    assert state.challenger, "a live release has a challenger"
    return state.challenger


def _phase(release: ReleaseFile, step: int) -> Phase:
    match release.strategy:
        case CanaryStrategy(steps=steps):
            return Phase.BAKE if step == len(steps) - 1 else Phase.ROLLING
        case BlueGreen():
            return Phase.BAKE
    return Phase.ROLLING


def _traffic(state: ReleaseState) -> str:
    routing = state.routing
    if routing.share:
        return f"takes {routing.share:.0%} of the traffic"
    return "is asked beside the champion"


def _promoted(champion: Variant) -> dict[str, Any]:
    return _ended(Phase.PROMOTED) | {"champion": champion}


def _ended(phase: Phase) -> dict[str, Any]:
    return {"phase": phase, "challenger": None, "step": 0, "since": None}


def _append(
    target: ReleaseTarget, actor: Actor, action: Action, decide: Decide, after: int | None = None
) -> ReleaseEntry:
    """Append the transition decided from the latest state; when another process was first, decide again.

    When the decision is None, returns the latest entry.
    """
    while True:
        latest = target.latest()
        if after is not None and (latest.number if latest else 0) != after:
            raise StaleDecision(f"the release log goes on after transition {after}")
        state = latest.state if latest else ReleaseState()
        if why := release_rules.not_now(action, state):
            raise Refused(why)
        decided = decide(state, latest)
        if decided is None:
            assert latest, "only what was done already is not done again"
            return latest
        entry = ReleaseEntry(
            number=latest.number + 1 if latest else 1,
            at=actor.at,
            who=actor.who,
            action=decided.action,
            variant=decided.variant,
            champion_before=state.champion,
            reason=decided.reason,
            pull=decided.pull,
            state=state.model_copy(update=decided.change),
        )
        try:
            return target.releases.append(entry)
        except Conflict:
            continue
