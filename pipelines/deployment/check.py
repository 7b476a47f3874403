"""What is wrong with a release file, before anybody approves it: what a deployment would refuse, and its path."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pipelines.config import Problem, Refused, ReleaseFile, UserError, Variant
from pipelines.deployment.roll_out import not_fresh
from pipelines.deployment.transitions import champions, check_pins
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.serving.model import servable
from pipelines.storage.ports import OnlineStore


class Before(NamedTuple):
    """The environment from which models are promoted, and its release log."""

    environment: str
    releases: ReleaseLog


class Target(NamedTuple):
    """What a release file is checked against: the environment's stores, and where its models come from."""

    problem: Problem
    models: ModelStore
    releases: ReleaseLog
    online: OnlineStore
    before: Before | None


def faults(release: ReleaseFile, target: Target, as_of: datetime) -> Iterator[str]:
    """Yield each reason for which the file must not be merged."""
    released, state = release.released, target.releases.state()
    if released.model in state.quarantined:
        yield f"v{released.version} is quarantined: {state.quarantined[released.model]}"
    if release.challenger and state.champion != release.champion:
        serves = f"v{state.champion.version} serves" if state.champion else "nothing serves yet"
        yield f"the champion is said to be v{release.champion.version}, but {serves}"
    if target.before:
        yield from _skipped(released, target.before)
    yield from _untrustworthy(release, target, as_of)


def _skipped(released: Variant, before: Before) -> Iterator[str]:
    """Yield why the model did not come here by the environment before."""
    name = f"v{released.version}"
    if reason := before.releases.state().quarantined.get(released.model):
        yield f"{name} was rolled back in {before.environment}: {reason}"
    elif released.model not in {variant.model for variant in champions(before.releases)}:
        yield f"{name} was never champion in {before.environment}, and environments are not skipped"


def _untrustworthy(release: ReleaseFile, target: Target, as_of: datetime) -> Iterator[str]:
    """Yield why the model is not what the file says, or cannot serve."""
    released, models = release.released, target.models
    named = models.versions().get(released.version)
    if named not in (None, released.model):
        yield f"v{released.version} is model {named[:12]}, not {released.model[:12]}"
    try:
        manifest = models.manifest(released.model)
        check_pins(release, manifest)
    except (Refused, UserError) as error:
        yield str(error)
        return
    if not manifest.accepted and not release.override:
        yield f"v{released.version} did not pass its gates, and no override says why it is released"
    if reasons := list(servable(models, released, target.problem)):
        yield from reasons
        return
    yield from not_fresh(trained(target.problem, models, manifest), target.online, as_of)
