"""The rule book of releases: every reason to refuse a transition, decided from facts alone.

``mlops release check``, propose, approve, deploy, the release tick and rollback ask here, so that they agree: what
``release check`` passes, propose, approve and deploy take.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from pipelines.config import (
    Action,
    AllAtOnce,
    Manifest,
    Phase,
    Refused,
    ReleaseEntry,
    ReleaseFile,
    ReleaseState,
    Variant,
)

FileTransition = Literal["check", "propose", "approve", "start"]
"""The transitions that a release file asks for; ``check`` predicts the other three."""

_LIVE = frozenset({Phase.ROLLING, Phase.BAKE})
_PENDING = frozenset({Phase.PROPOSED, Phase.APPROVED})
_ALLOWED: Mapping[Action, frozenset[Phase]] = {
    "propose": frozenset(Phase) - _LIVE,
    "approve": frozenset({Phase.PROPOSED}),
    "start": frozenset({Phase.APPROVED}),
    "advance": frozenset({Phase.ROLLING}),
    "promote": _LIVE,
    "conclude": _LIVE,
    "withdraw": _PENDING,
    "roll back": frozenset(Phase) - {Phase.NONE},
}
"""The phases in which each transition is allowed."""


class Before(NamedTuple):
    """The environment that models come from: its champions, and why models are quarantined there."""

    environment: str
    champions: tuple[Variant, ...]
    quarantined: Mapping[str, str]


class Facts(NamedTuple):
    """The facts on which the rules decide.

    Attributes:
        state: of the environment's release log.
        champions: each model that was champion there, ordered by the start of its latest tenure.
        manifest: of the model that the file releases, or why no manifest can be trusted.
        registered: the model that the model store has under the file's version number, if any.
        before: the environment before this one; None for the first.
        unservable: returns why the running code or an instance of the app cannot serve a model; empty when they can.
        stale: yields why the online store cannot serve a model's features at the time of the transition.
    """

    state: ReleaseState
    champions: tuple[Variant, ...]
    manifest: Manifest | str
    registered: str | None
    before: Before | None
    unservable: Callable[[Variant], str]
    stale: Callable[[Manifest], Iterable[str]]

    def returns(self, release: ReleaseFile) -> bool:
        """Return whether a release restores an earlier champion, which needs no new comparison."""
        earlier = {variant.model for variant in self.champions}
        return isinstance(release.strategy, AllAtOnce) and release.released.model in earlier


def refusals(transition: FileTransition, release: ReleaseFile, facts: Facts) -> Iterator[str]:
    """Yield each reason to refuse a transition of a release file."""
    if transition == "check" and is_deployed(facts.state, release):
        return
    yield from permission(transition, release, facts)
    yield from servability(transition, release, facts)


def permission(transition: FileTransition, release: ReleaseFile, facts: Facts) -> Iterator[str]:
    """Yield why the transition is not allowed now, or the model not at all."""
    yield from _due(transition, release, facts.state)
    released = release.released
    if transition != "propose" and released.model in facts.state.quarantined:  # proposing it lifts the quarantine
        reason = facts.state.quarantined[released.model]
        yield f"v{released.version} is quarantined: {reason}; 'mlops propose v{released.version}' proposes it anew"
    if facts.before:
        yield from _skipped(released, facts.before)
    if facts.registered not in (None, released.model):
        yield f"v{released.version} is model {str(facts.registered)[:12]}, not {released.model[:12]}"
    if isinstance(facts.manifest, str):
        yield facts.manifest
        return
    yield from _unjudged(release, facts.manifest, facts)
    if (release.feature_views, release.request_schema) != (
        facts.manifest.feature_pins,
        facts.manifest.request_schema_sha256,
    ):
        name = f"v{released.version}"
        yield f"the release file pins other feature views or another request schema than {name} has; propose it anew"


def servability(transition: FileTransition, release: ReleaseFile, facts: Facts) -> Iterator[str]:
    """Yield why the code, an instance or the online store cannot serve the released model or its fall-back."""
    released, beside = release.released, facts.state.champion
    if isinstance(facts.manifest, str):
        return
    if why := facts.unservable(released):
        yield f"v{released.version} cannot be served: {why}"
    if beside and beside.model != released.model and not facts.returns(release):
        why = facts.unservable(beside)
        if why and release.challenger:
            yield f"v{beside.version}, which answers beside it, cannot be served: {why}"
        elif why and not release.override:
            yield (
                f"v{beside.version} could not be gone back to, it cannot be served: {why}; release with the code that "
                "serves it, or give the reason for doing without as --override"
            )
    if transition in ("check", "start"):
        yield from facts.stale(facts.manifest)


def not_now(action: Action, state: ReleaseState) -> str:
    """Return why an action is not allowed in a state; empty when it is."""
    if state.phase in _ALLOWED[action]:
        return ""
    if state.live:
        return f"a release is rolling, so one cannot {action}; wait for its end or roll it back first"
    if action == "start":
        return "this release file is not approved; run 'mlops approve' first"
    return f"there is nothing to {action}: the latest release is {state.phase.value}"


def is_deployed(state: ReleaseState, release: ReleaseFile) -> bool:
    """Return whether the release is live, or has ended with its model as champion."""
    if state.live:
        return state.proposal == release
    return state.champion == release.released and state.phase is not Phase.APPROVED


class WayBack(NamedTuple):
    """What a rollback does: the model it takes ``out`` of service, and the champion that serves afterwards, if any.

    ``action`` is None when the latest transition did it already. ``next`` is the model to which the champion could be
    gone back from, where the rollback replaces the champion.
    """

    action: Literal["roll back", "withdraw"] | None
    out: Variant
    champion: Variant | None
    next: Variant | None = None


def way_back(
    latest: ReleaseEntry | None, champions: Iterable[Variant], to: Variant | None = None, champion_out: bool = False
) -> WayBack:
    """Return what a rollback does in the present state.

    It removes a live challenger, or withdraws a proposed or approved release. It replaces the champion only on request:
    with ``champion_out`` by the latest earlier champion that is not quarantined, with ``to`` by that model.

    Raises:
        Refused: when there is nothing to remove, or no champion to return to.
    """
    if latest is None:
        raise Refused(_NOTHING)
    state = latest.state
    if to or champion_out:
        return _champion_out(latest, tuple(champions), to)
    if state.challenger:
        return WayBack("roll back", state.challenger, state.champion)
    if state.phase in _PENDING and state.proposal:
        return WayBack("withdraw", state.proposal.released, state.champion)
    if latest.action in ("roll back", "withdraw"):
        return WayBack(None, latest.variant, state.champion)
    if state.champion is None:
        raise Refused(_NOTHING)
    serves = f"no challenger is live and no release is pending; the champion v{state.champion.version} serves"
    raise Refused(f"{serves}: --champion takes it out for the one before it, --to VERSION for another")


_NOTHING = "nothing was released yet, so there is nothing to roll back"


def _champion_out(latest: ReleaseEntry, champions: Sequence[Variant], to: Variant | None) -> WayBack:
    state = latest.state
    if state.champion is None:
        raise Refused(_NOTHING)
    champion_is_out = latest.action == "roll back" and latest.variant == latest.champion_before
    if to == state.champion or (to is None and champion_is_out):
        return WayBack(None, latest.variant, state.champion)
    if state.challenger:
        raise Refused(f"v{state.challenger.version} is live beside the champion; 'mlops rollback' takes it out first")
    if to and to.model in state.quarantined:
        raise Refused(f"v{to.version} is quarantined: {state.quarantined[to.model]}")
    if to and to not in champions:
        raise Refused(f"v{to.version} was never champion here; go back to one that was, or propose it")
    out = {*state.quarantined, state.champion.model}
    earlier = [variant for variant in champions if variant.model not in out]
    if not earlier:
        raise Refused("there is no earlier champion that is not quarantined")
    champion = to or earlier[-1]
    others = [variant for variant in earlier if variant != champion]
    return WayBack("roll back", state.champion, champion, others[-1] if others else None)


def _due(transition: FileTransition, release: ReleaseFile, state: ReleaseState) -> Iterator[str]:
    if why := not_now("propose" if transition == "check" else transition, state):
        yield why
    elif transition == "approve" and state.proposal != release:
        yield "the release file is not the one that was proposed; propose it anew"
    elif transition == "start" and state.proposal != release:
        yield "this release file is not approved; run 'mlops approve' first"


def _skipped(released: Variant, before: Before) -> Iterator[str]:
    name = f"v{released.version}"
    if reason := before.quarantined.get(released.model):
        yield f"{name} was rolled back in {before.environment}: {reason}"
    elif released.model not in {variant.model for variant in before.champions}:
        yield f"{name} was never champion in {before.environment}, and environments are not skipped"


def _unjudged(release: ReleaseFile, manifest: Manifest, facts: Facts) -> Iterator[str]:
    """Yield why the model was not accepted by its gates, or not compared with the present champion."""
    name, champion = f"v{release.released.version}", facts.state.champion
    answered_for = bool(release.override) or facts.returns(release)
    if not manifest.accepted and not answered_for:
        failed = "; ".join(f"{gate.gate}: {gate.reason}" for gate in manifest.gates if not gate.passed)
        yield f"{name} did not pass its gates ({failed or 'it was never judged'}), and no override answers for it"
    if release.challenger and champion != release.champion:
        serves = f"v{champion.version} serves" if champion else "nothing serves yet"
        yield f"the file brings {name} in beside v{release.champion.version}, but {serves}; propose it anew"
    if champion and champion.model == release.released.model:
        yield f"{name} is the champion already"
    elif champion and champion.model != manifest.champion_model and not answered_for:
        yield (
            f"{name} was never compared with the champion v{champion.version}; train anew, or give the reason for "
            "releasing it as --override"
        )
