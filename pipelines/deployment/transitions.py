"""The moves of a release, each one entry in the release log: the only way its state changes.

proposed → approved → rolling (a canary's steps, a shadow, an A/B test) → bake (the last share) → promoted. From rolling
and bake also → rolled back; a shadow, an undecided A/B test or what could not be judged in time → concluded.
All-at-once: approved → promoted. From proposed and approved also → withdrawn. The rule book (``rules``) says which move
may be made.
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
from pipelines.deployment import rules
from pipelines.deployment.target import ReleaseTarget, check
from pipelines.registry.release_log import Conflict


class Actor(NamedTuple):
    """Who moves, and when."""

    who: str
    at: datetime


class Moved(Refused):
    """Another process moved the release after the state that a move was decided on."""


class _Move(NamedTuple):
    action: Action
    variant: Variant
    reason: str
    change: dict[str, Any]
    pull: int | None = None


Decide = Callable[[ReleaseState, ReleaseEntry | None], _Move | None]
"""Decides on the state after the latest transition, and on that one; None leaves everything as it is."""


def propose(target: ReleaseTarget, actor: Actor, release: ReleaseFile, after: int | None = None) -> ReleaseEntry:
    """Propose a release file; its model may have been rolled back before.

    Raises:
        Refused: with each reason of the rule book (:func:`pipelines.deployment.rules.refusals`).
        Moved: as :func:`promote`; ``after`` is 0 for a log without transitions.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        facts = target.facts(release, state, actor.at)
        check(list(rules.refusals("propose", release, facts)))
        assert isinstance(facts.manifest, Manifest), "a model without a manifest is refused"
        quarantined = {model: why for model, why in state.quarantined.items() if model != release.released.model}
        change = {"phase": Phase.PROPOSED, "proposal": release, "quarantined": quarantined}
        reason = facts.manifest.reason
        if release.override:
            reason = f"override of the gates: {release.override}"
        elif facts.returns(release):
            reason = "back to an earlier champion"
        return _Move("propose", release.released, reason, change)

    return _append(target, actor, "propose", decide, after)


def approve(
    target: ReleaseTarget,
    actor: Actor,
    release: ReleaseFile,
    how: str = "",
    pull: int | None = None,
    after: int | None = None,
) -> ReleaseEntry:
    """Approve the release file as it was proposed; ``how`` says where, ``pull`` by the review of which pull request.

    Errors as :func:`propose`.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        check(list(rules.refusals("approve", release, target.facts(release, state, actor.at))))
        return _Move("approve", release.released, how, {"phase": Phase.APPROVED}, pull)

    return _append(target, actor, "approve", decide, after)


def start(target: ReleaseTarget, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Start the approved release: its model takes all traffic, or its strategy's first share of it.

    Errors as :func:`propose`.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        check(list(rules.refusals("start", release, target.facts(release, state, actor.at))))
        if release.challenger is None:
            return _Move("promote", release.champion, "takes all traffic at once", _promoted(release.champion))
        change = {"challenger": release.challenger, "step": 0, "since": actor.at, "phase": _phase(release, 0)}
        return _Move("start", release.challenger, _traffic(state.model_copy(update=change)), change)

    return _append(target, actor, "start", decide)


def advance(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Go to the next step of a canary; errors as :func:`promote`."""

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        assert state.proposal, "only a live release is advanced"
        step, challenger = state.step + 1, _challenger(state)
        target.check_servable(challenger)
        change = {"step": step, "since": actor.at, "phase": _phase(state.proposal, step)}
        return _Move("advance", challenger, f"{_traffic(state.model_copy(update=change))}: {reason}", change)

    return _append(target, actor, "advance", decide, after)


def promote(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Make the challenger the champion.

    Raises:
        Refused: when it is not due, or the running code cannot serve the model.
        Moved: when ``after``, the transition on which that was decided, is not the latest any more.
    """

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        challenger = _challenger(state)
        target.check_servable(challenger)
        return _Move("promote", challenger, reason, _promoted(challenger))

    return _append(target, actor, "promote", decide, after)


def conclude(target: ReleaseTarget, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """End a live release without a change of the champion, as a shadow ends; errors as :func:`promote`."""

    def decide(state: ReleaseState, _: ReleaseEntry | None) -> _Move:
        return _Move("conclude", _challenger(state), reason, _ended(Phase.CONCLUDED))

    return _append(target, actor, "conclude", decide, after)


def roll_back(
    target: ReleaseTarget,
    actor: Actor,
    reason: str,
    to: Variant | None = None,
    champion_out: bool = False,
    after: int | None = None,
) -> ReleaseEntry:
    """Take a model out of service and quarantine it, or withdraw a release that waits (:func:`rules.way_back`).

    What the latest transition did already is not done again: it is returned.

    Raises:
        Moved: as :func:`promote`; without ``after``, whatever is latest is rolled back.
        Refused: when there is nothing to take out or to go back to, or the running code cannot serve it.
    """

    def decide(state: ReleaseState, latest: ReleaseEntry | None) -> _Move | None:
        back = rules.way_back(latest, target.releases.tenures(), to, champion_out)
        if back.action is None:
            return None
        if back.action == "withdraw":
            return _Move("withdraw", back.out, reason, {"phase": Phase.WITHDRAWN})
        if back.champion and back.champion != state.champion:
            target.check_servable(back.champion)
        quarantined = {**state.quarantined, back.out.model: reason}
        change = _ended(Phase.ROLLED_BACK) | {"champion": back.champion, "quarantined": quarantined}
        return _Move("roll back", back.out, reason, change)

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
    """Append a move decided on the latest state; when another process moved first, decide again on the new state.

    A decision of None leaves everything as the latest transition has it.
    """
    while True:
        latest = target.latest()
        if after is not None and (latest.number if latest else 0) != after:
            raise Moved(f"the release moved on after transition {after}")
        state = latest.state if latest else ReleaseState()
        if why := rules.not_now(action, state):
            raise Refused(why)
        move = decide(state, latest)
        if move is None:
            assert latest, "only what was done already is not done again"
            return latest
        entry = ReleaseEntry(
            number=latest.number + 1 if latest else 1,
            at=actor.at,
            who=actor.who,
            action=move.action,
            variant=move.variant,
            champion_before=state.champion,
            reason=move.reason,
            pull=move.pull,
            state=state.model_copy(update=move.change),
        )
        try:
            return target.releases.append(entry)
        except Conflict:
            continue
