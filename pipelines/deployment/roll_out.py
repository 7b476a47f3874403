"""Step 24: pull the approved model, test it as it will serve, and roll it out."""

from collections.abc import Iterator
from datetime import datetime

from pipelines.config import Manifest, Phase, Problem, Refused, ReleaseFile, ReleaseState, UserError, format_duration
from pipelines.deployment import DeploymentParams, RolledOut, Tested
from pipelines.deployment.transitions import Actor, check_pins, start
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.serving.model import servable
from pipelines.storage.ports import OnlineStore


def pull(params: DeploymentParams, models: ModelStore, releases: ReleaseLog) -> Manifest:
    """Return the verified manifest of the release file's model.

    Raises:
        Refused: when this file is not approved or its model is quarantined.
    """
    state, released = releases.state(), params.release.released
    if released.model in state.quarantined:
        raise Refused(f"v{released.version} is quarantined: {state.quarantined[released.model]}; propose it anew")
    approved = state.phase is Phase.APPROVED and state.proposal == params.release
    if not approved and not is_deployed(state, params.release):
        raise Refused("this release file is not approved; run 'mlops approve' first")
    manifest = models.manifest(released.model)
    check_pins(params.release, manifest)
    return manifest


def test(
    params: DeploymentParams, problem: Problem, models: ModelStore, online: OnlineStore, manifest: Manifest
) -> Tested:
    """Load and warm up the model as the serving app will, and check that its features are there and fresh."""
    variant = params.release.released
    for reason in servable(models, variant, problem):
        raise UserError(reason)
    for reason in not_fresh(trained(problem, models, manifest), online, params.as_of):
        raise UserError(reason)
    return Tested(model=variant.model, version=variant.version)


def not_fresh(problem: Problem, online: OnlineStore, as_of: datetime) -> Iterator[str]:
    """Yield, for each feature view that cannot serve at a moment, why: nothing is there, or only old rows."""
    for view in problem.views:
        until = online.as_of(view.versioned_name)
        if until is None:
            yield f"feature view {view.name!r} is not materialised; run 'mlops run feature' first"
        elif as_of - until > view.ttl:
            yield (
                f"feature view {view.name!r} was materialised up to {until:%Y-%m-%d %H:%M} and stays valid for "
                f"{format_duration(view.ttl)}, so not until {as_of:%Y-%m-%d %H:%M}; "
                "run 'mlops run feature' for the latest days, or choose an earlier --as-of"
            )


def roll_out(params: DeploymentParams, releases: ReleaseLog, tested: Tested) -> RolledOut:
    """Start the release; when that is done already, say where it stands."""
    assert tested.model == params.release.released.model, "what was tested is what goes out"
    if not is_deployed(releases.state(), params.release):
        try:
            start(releases, Actor(params.who, params.as_of), params.release)
        except Refused:  # unless another deployment of the same file was first
            if not is_deployed(releases.state(), params.release):
                raise
    entry = releases.latest()
    assert entry is not None, "a started release has a log"
    return RolledOut(transition=entry.number, phase=entry.state.phase.value)


def is_deployed(state: ReleaseState, release: ReleaseFile) -> bool:
    """Say whether the release is live, or over and its model serves."""
    if state.live:
        return state.proposal == release
    return state.champion == release.released and state.phase is not Phase.APPROVED
