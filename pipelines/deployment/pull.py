"""Step 24: pull the approved model, test it as it will serve, and roll it out."""

from pipelines.deployment import DeploymentParams, RolledOut, Tested
from pipelines.deployment.transitions import Actor, start
from pipelines.model_store import ModelStore
from pipelines.ports import OnlineStore
from pipelines.release_log import ReleaseLog
from pipelines.serving.model import ServedModel
from pipelines.spec import Manifest, Phase, Problem, Refused, ReleaseState, UserError, Variant, format_duration


def pull(params: DeploymentParams, models: ModelStore, releases: ReleaseLog) -> Manifest:
    """Return the verified manifest of the release file's model.

    Raises:
        Refused: when this file is not approved or its model is quarantined.
    """
    state, model = releases.state(), params.release.model
    if model in state.quarantined:
        raise Refused(f"v{params.release.version} is quarantined: {state.quarantined[model]}; propose it anew")
    if not _done(state, model) and (state.phase is not Phase.APPROVED or state.proposal != params.release):
        raise Refused("this release file is not approved; run 'mlops approve' first")
    return models.manifest(model)


def test(
    params: DeploymentParams, problem: Problem, models: ModelStore, online: OnlineStore, manifest: Manifest
) -> Tested:
    """Load and warm up the model as the serving app will, and check that its features are there and fresh."""
    variant = Variant(model=params.release.model, version=params.release.version)
    ServedModel(variant, models, problem)
    for view in problem.views:
        as_of = online.as_of(f"{view.name}_{manifest.feature_versions.views[view.name]}")
        if as_of is None:
            raise UserError(f"feature view {view.name!r} is not materialised; run 'mlops run feature' first")
        if params.as_of - as_of > view.ttl:
            raise UserError(
                f"feature view {view.name!r} was materialised up to {as_of:%Y-%m-%d %H:%M} and stays valid for "
                f"{format_duration(view.ttl)}, so not until {params.as_of:%Y-%m-%d %H:%M}; "
                "run 'mlops run feature' for the latest days, or choose an earlier --as-of"
            )
    return Tested(model=variant.model, version=variant.version)


def roll_out(params: DeploymentParams, releases: ReleaseLog, tested: Tested) -> RolledOut:
    """Start the release; when that is done already, say where it stands."""
    if not _done(releases.state(), tested.model):
        start(releases, Actor(params.who, params.as_of), params.release)
    entry = releases.latest()
    assert entry is not None, "a started release has a log"
    return RolledOut(transition=entry.number, phase=entry.state.phase.value)


def _done(state: ReleaseState, model: str) -> bool:
    served = {variant.model for variant in (state.champion, state.challenger) if variant}
    return model in served and state.phase in (Phase.ROLLING, Phase.PROMOTED)
