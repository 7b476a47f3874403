"""The moves of a release: propose, approve, start, promote, roll back. Each is one entry in the release log."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pipelines.model_store import ModelStore
from pipelines.release_log import Conflict, ReleaseLog
from pipelines.spec import CanaryStrategy, Phase, Refused, ReleaseEntry, ReleaseFile, ReleaseState, Variant

Action = Literal["propose", "approve", "start", "promote", "roll back"]


class Actor(NamedTuple):
    """Who moves, and when."""

    who: str
    at: datetime


class Moved(Refused):
    """Another process moved the release after the state that a move was decided on."""


class _Move(NamedTuple):
    action: Action
    reason: str
    change: dict[str, Any]


def propose(log: ReleaseLog, models: ModelStore, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Propose a model; it may have been rolled back before.

    Raises:
        Refused: when it did not pass its gates, or was compared with another champion than the one that serves, and
            nobody took that upon them with ``override``.
    """
    manifest = models.manifest(release.model)
    if not manifest.accepted and not release.override:
        failed = "; ".join(f"{gate.gate}: {gate.reason}" for gate in manifest.gates if not gate.passed)
        raise Refused(f"v{release.version} did not pass its gates ({failed or 'it was never judged'})")

    def decide(state: ReleaseState) -> _Move:
        if state.phase is Phase.ROLLING:
            raise Refused("a release is rolling; wait for its end or roll it back first")
        if state.champion and state.champion.model == release.model:
            raise Refused(f"v{release.version} is the champion already")
        if state.champion and state.champion.model != manifest.champion and not release.override:
            raise Refused(
                f"v{release.version} was never compared with the champion v{state.champion.version}; train anew, or "
                "give the reason for releasing it as --override"
            )
        quarantined = {model: why for model, why in state.quarantined.items() if model != release.model}
        change = {"phase": Phase.PROPOSED, "proposal": release, "quarantined": quarantined}
        reason = f"override of the gates: {release.override}" if release.override else manifest.reason
        return _Move("propose", f"v{release.version}: {reason}", change)

    return _append(log, actor, decide)


def approve(log: ReleaseLog, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Approve the release file as it was proposed."""

    def decide(state: ReleaseState) -> _Move:
        if state.phase is not Phase.PROPOSED:
            raise Refused(f"there is no proposal to approve; the latest release is {state.phase.value}")
        if state.proposal != release:
            raise Refused("the release file is not the one that was proposed; propose it anew")
        return _Move("approve", f"v{release.version}", {"phase": Phase.APPROVED})

    return _append(log, actor, decide)


def start(log: ReleaseLog, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Start the approved release: the model takes all traffic, or its canary's share of it."""

    def decide(state: ReleaseState) -> _Move:
        if state.phase is not Phase.APPROVED or state.proposal != release:
            raise Refused("this release file is not approved; run 'mlops approve' first")
        variant = Variant(model=release.model, version=release.version)
        if state.champion and isinstance(release.strategy, CanaryStrategy):
            strategy = release.strategy
            change = {
                "phase": Phase.ROLLING,
                "challenger": variant,
                "share": strategy.share,
                "bake": strategy.bake,
                "rolling_since": actor.at,
            }
            return _Move("start", f"v{release.version} takes {strategy.share:.0%} of the traffic", change)
        return _Move("promote", f"v{release.version} takes all traffic at once", _champion(state, variant))

    return _append(log, actor, decide)


def promote(log: ReleaseLog, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Make the challenger the champion.

    Raises:
        Moved: when ``after``, the transition on which that was decided, is not the latest any more.
    """

    def decide(state: ReleaseState) -> _Move:
        if state.challenger is None:
            raise Refused("there is no challenger to promote")
        return _Move("promote", f"v{state.challenger.version}: {reason}", _champion(state, state.challenger))

    return _append(log, actor, decide, after)


def roll_back(log: ReleaseLog, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Take the challenger, or else the champion, out of service and quarantine it; the champion before it serves.

    Raises:
        Moved: as :func:`promote`; without ``after``, whatever is latest is rolled back.
    """

    def decide(state: ReleaseState) -> _Move:
        bad = state.challenger or state.champion
        champion = state.champion if state.challenger else state.previous
        if bad is None or champion is None:
            raise Refused("there is no earlier champion to go back to")
        change = _champion(state, champion) | {
            "phase": Phase.ROLLED_BACK,
            "previous": state.previous if state.challenger else None,
            "quarantined": {**state.quarantined, bad.model: reason},
        }
        return _Move("roll back", f"v{bad.version} to v{champion.version}: {reason}", change)

    return _append(log, actor, decide, after)


def _champion(state: ReleaseState, variant: Variant) -> dict[str, Any]:
    return {
        "phase": Phase.PROMOTED,
        "champion": variant,
        "previous": state.champion,
        "challenger": None,
        "share": 0.0,
        "bake": None,
        "rolling_since": None,
    }


def _append(
    log: ReleaseLog, actor: Actor, decide: Callable[[ReleaseState], _Move], after: int | None = None
) -> ReleaseEntry:
    """Append a move decided on the latest state; when another process moved first, decide again on the new state."""
    while True:
        latest = log.latest()
        if after is not None and (latest is None or latest.number != after):
            raise Moved(f"the release moved on after transition {after}")
        state = latest.state if latest else ReleaseState()
        move = decide(state)
        entry = ReleaseEntry(
            number=latest.number + 1 if latest else 1,
            at=actor.at,
            who=actor.who,
            action=move.action,
            reason=move.reason,
            state=state.model_copy(update=move.change),
            previous_sha256=hashlib.sha256(latest.to_json()).hexdigest() if latest else None,
        )
        try:
            log.append(entry)
        except Conflict:
            continue
        return entry
