"""The moves of a release, each one entry in the release log: the only way its state changes.

proposed → approved → rolling (a canary's steps, a shadow, an A/B test) → bake (the last share) → promoted. From rolling
and bake also → rolled back; a shadow or an undecided A/B test → concluded. All-at-once: approved → promoted.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.config import (
    Action,
    AllAtOnce,
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
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import Conflict, ReleaseLog

_LIVE = frozenset({Phase.ROLLING, Phase.BAKE})
_ALLOWED: Mapping[Action, frozenset[Phase]] = {
    "propose": frozenset(Phase) - _LIVE,
    "approve": frozenset({Phase.PROPOSED}),
    "start": frozenset({Phase.APPROVED}),
    "advance": frozenset({Phase.ROLLING}),
    "promote": _LIVE,
    "conclude": frozenset({Phase.ROLLING}),
    "roll back": frozenset(Phase) - {Phase.NONE},
}
"""In which phases each move may be made."""


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


Decide = Callable[[ReleaseState], _Move]


def propose(
    log: ReleaseLog, models: ModelStore, actor: Actor, release: ReleaseFile, after: int | None = None
) -> ReleaseEntry:
    """Propose a release file; its model may have been rolled back before.

    Raises:
        Refused: when the model did not pass its gates, or was compared with another champion than the one that serves,
            and nobody took that upon them with ``override``; an earlier champion may always return, all at once.
        UserError: when the file pins what the model is not.
        Moved: as :func:`promote`; ``after`` is 0 for a log without transitions.
    """
    manifest = models.manifest(release.released.model)
    name = f"v{release.released.version}"
    returns = _returns(log, release)

    def decide(state: ReleaseState) -> _Move:
        _check_proposal(state, manifest, release, returns)
        quarantined = {model: why for model, why in state.quarantined.items() if model != release.released.model}
        change = {"phase": Phase.PROPOSED, "proposal": release, "quarantined": quarantined}
        reason = manifest.reason
        if release.override:
            reason = f"override of the gates: {release.override}"
        elif returns:
            reason = "back to an earlier champion"
        return _Move("propose", f"{name}: {reason}", change)

    return _append(log, actor, "propose", decide, after)


def check_proposal(log: ReleaseLog, models: ModelStore, release: ReleaseFile) -> None:
    """Raise what :func:`propose` would, and propose nothing; or Refused while another release is live."""
    state = log.state()
    if state.live:
        raise Refused(_not_now("propose", state))
    _check_proposal(state, models.manifest(release.released.model), release, _returns(log, release))


def _returns(log: ReleaseLog, release: ReleaseFile) -> bool:
    """Say whether a release brings an earlier champion back."""
    earlier = (variant.model for variant in champions(log))
    return isinstance(release.strategy, AllAtOnce) and release.released.model in earlier


def _check_proposal(state: ReleaseState, manifest: Manifest, release: ReleaseFile, returns: bool) -> None:
    name, champion = f"v{release.released.version}", state.champion
    check_pins(release, manifest)
    if not manifest.accepted and not release.override and not returns:
        failed = "; ".join(f"{gate.gate}: {gate.reason}" for gate in manifest.gates if not gate.passed)
        raise Refused(f"{name} did not pass its gates ({failed or 'it was never judged'})")
    if champion and champion.model == release.released.model:
        raise Refused(f"{name} is the champion already")
    if release.challenger and champion != release.champion:
        serves = f"v{champion.version} serves" if champion else "nothing serves yet"
        raise Refused(f"the file brings {name} in beside v{release.champion.version}, but {serves}; propose it anew")
    if champion and champion.model != manifest.champion and not release.override and not returns:
        raise Refused(
            f"{name} was never compared with the champion v{champion.version}; train anew, or give the reason for "
            "releasing it as --override"
        )


def check_pins(release: ReleaseFile, manifest: Manifest) -> None:
    """Raise Refused when the features or the request schema that the file pins are not the model's."""
    pinned = (release.feature_views, release.request_schema)
    if pinned != (manifest.feature_pins, manifest.request_schema_sha256):
        name = f"v{release.released.version}"
        raise Refused(f"the release file pins other feature views or another request schema than {name} has")


def approve(
    log: ReleaseLog, actor: Actor, release: ReleaseFile, how: str = "", after: int | None = None
) -> ReleaseEntry:
    """Approve the release file as it was proposed; ``how`` says where. Errors as :func:`promote`."""

    def decide(state: ReleaseState) -> _Move:
        if state.proposal != release:
            raise Refused("the release file is not the one that was proposed; propose it anew")
        reason = f"v{release.released.version}" + (f": {how}" if how else "")
        return _Move("approve", reason, {"phase": Phase.APPROVED})

    return _append(log, actor, "approve", decide, after)


def start(log: ReleaseLog, actor: Actor, release: ReleaseFile) -> ReleaseEntry:
    """Start the approved release: its model takes all traffic, or its strategy's first share of it.

    Raises:
        Refused: when another file is approved, or the champion is no longer the one that the file names.
    """

    def decide(state: ReleaseState) -> _Move:
        if state.proposal != release:
            raise Refused("this release file is not approved; run 'mlops approve' first")
        name = f"v{release.released.version}"
        if release.challenger is None:
            return _Move("promote", f"{name} takes all traffic at once", _promoted(release.champion))
        change = {"challenger": release.challenger, "step": 0, "since": actor.at, "phase": _phase(release, 0)}
        started = state.model_copy(update=change)
        return _Move("start", f"{name} {_traffic(started)}", change)

    return _append(log, actor, "start", decide)


def advance(log: ReleaseLog, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Go to the next step of a canary; errors as :func:`promote`."""

    def decide(state: ReleaseState) -> _Move:
        assert state.proposal, "only a live release is advanced"
        step = state.step + 1
        change = {"step": step, "since": actor.at, "phase": _phase(state.proposal, step)}
        moved = state.model_copy(update=change)
        return _Move("advance", f"v{state.proposal.released.version} {_traffic(moved)}: {reason}", change)

    return _append(log, actor, "advance", decide, after)


def promote(log: ReleaseLog, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """Make the challenger the champion.

    Raises:
        Moved: when ``after``, the transition on which that was decided, is not the latest any more.
    """

    def decide(state: ReleaseState) -> _Move:
        assert state.challenger, "a live release has a challenger"
        return _Move("promote", f"v{state.challenger.version}: {reason}", _promoted(state.challenger))

    return _append(log, actor, "promote", decide, after)


def conclude(log: ReleaseLog, actor: Actor, reason: str, after: int | None = None) -> ReleaseEntry:
    """End a shadow or an A/B test without a change of the champion; errors as :func:`promote`."""

    def decide(state: ReleaseState) -> _Move:
        assert state.challenger, "a live release has a challenger"
        return _Move("conclude", f"v{state.challenger.version}: {reason}", _ended(Phase.CONCLUDED))

    return _append(log, actor, "conclude", decide, after)


def roll_back(
    log: ReleaseLog, actor: Actor, reason: str, to: Variant | None = None, after: int | None = None
) -> ReleaseEntry:
    """Take the challenger, or else the champion, out of service and quarantine it.

    The champion stays in the first case; in the second the latest earlier one that is not quarantined serves again, or
    ``to``, which must have been champion before.

    Raises:
        Moved: as :func:`promote`; without ``after``, whatever is latest is rolled back.
        Refused: when there is nothing to go back to.
    """

    def decide(state: ReleaseState) -> _Move:
        bad, champion = rolled_back(log, state, to)
        quarantined = {**state.quarantined, bad.model: reason}
        change = _ended(Phase.ROLLED_BACK) | {"champion": champion, "quarantined": quarantined}
        return _Move("roll back", f"v{bad.version} to v{champion.version}: {reason}", change)

    return _append(log, actor, "roll back", decide, after)


def rolled_back(log: ReleaseLog, state: ReleaseState, to: Variant | None = None) -> tuple[Variant, Variant]:
    """Return which model a rollback takes out, and which one serves then; errors as :func:`roll_back`."""
    if state.champion is None:
        raise Refused("nothing was released yet")
    if state.challenger and to in (None, state.champion):
        return state.challenger, state.champion
    if to and to.model == state.champion.model:
        raise Refused(f"v{to.version} is the champion already")
    out = {*state.quarantined, state.champion.model}
    earlier = [variant for variant in champions(log) if variant.model not in out and to in (None, variant)]
    if not earlier:
        raise Refused(f"v{to.version} is no earlier champion in service" if to else "there is no earlier champion")
    return state.champion, earlier[-1]


def champions(log: ReleaseLog) -> Iterator[Variant]:
    """Yield each model that was champion, in the order of its latest coming into service, earliest first."""
    order: dict[str, Variant] = {}
    for entry in log.entries():
        if champion := entry.state.champion:
            order.pop(champion.model, None)
            order[champion.model] = champion
    yield from order.values()


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


def _append(log: ReleaseLog, actor: Actor, action: Action, decide: Decide, after: int | None = None) -> ReleaseEntry:
    """Append a move decided on the latest state; when another process moved first, decide again on the new state."""
    while True:
        latest = log.latest()
        if after is not None and (latest.number if latest else 0) != after:
            raise Moved(f"the release moved on after transition {after}")
        state = latest.state if latest else ReleaseState()
        if state.phase not in _ALLOWED[action]:
            raise Refused(_not_now(action, state))
        move = decide(state)
        entry = ReleaseEntry(
            number=latest.number + 1 if latest else 1,
            at=actor.at,
            who=actor.who,
            action=move.action,
            reason=move.reason,
            state=state.model_copy(update=move.change),
        )
        try:
            return log.append(entry)
        except Conflict:
            continue


def _not_now(action: Action, state: ReleaseState) -> str:
    if state.live:
        return f"a release is rolling, so one cannot {action}; wait for its end or roll it back first"
    if action == "start":
        return "this release file is not approved; run 'mlops approve' first"
    return f"there is nothing to {action}: the latest release is {state.phase.value}"
