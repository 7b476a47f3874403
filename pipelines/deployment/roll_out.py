"""Step 24: pull the approved model, test it as it will serve, and roll it out."""

from pipelines.config import Manifest, Refused
from pipelines.deployment import DeploymentParams, RolledOut, Tested
from pipelines.deployment.release_rules import is_deployed, permission, servability
from pipelines.deployment.target import ReleaseTarget, check
from pipelines.deployment.transitions import Actor, start


def pull(params: DeploymentParams, release_target: ReleaseTarget) -> Manifest:
    """Return the verified manifest of the release file's model.

    Raises:
        Refused: for each reason of the rule book, such as a file that is not approved.
    """
    state = release_target.releases.state()
    if not is_deployed(state, params.release):
        check(list(permission("start", params.release, release_target.facts(params.release, state, params.as_of))))
    return release_target.models.manifest(params.release.released.model)


def test(params: DeploymentParams, release_target: ReleaseTarget, manifest: Manifest) -> Tested:
    """Load and warm up the model as the serving app will, and check that its features are materialised and fresh."""
    state, variant = release_target.releases.state(), params.release.released
    assert manifest.sha256() == variant.model, "what was pulled is what is tested"
    if not is_deployed(state, params.release):
        check(list(servability("start", params.release, release_target.facts(params.release, state, params.as_of))))
    return Tested(model=variant.model, version=variant.version)


def roll_out(params: DeploymentParams, release_target: ReleaseTarget, tested: Tested) -> RolledOut:
    """Start the release unless it is deployed already, and return its phase."""
    assert tested.model == params.release.released.model, "what was tested is what goes out"
    releases = release_target.releases
    if not is_deployed(releases.state(), params.release):
        try:
            start(release_target, Actor(params.who, params.as_of), params.release)
        except Refused:  # unless another deployment of the same file was first
            if not is_deployed(releases.state(), params.release):
                raise
    entry = releases.latest()
    assert entry is not None, "a started release has a log"
    return RolledOut(transition=entry.number, phase=entry.state.phase.value)
