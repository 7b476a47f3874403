"""From a candidate to the pull request that brings it before people, or to the issue that says why there is none.

What is next in an environment: in the first, which trains, the latest candidate that was judged; in any other, what
serves in the environment before it.
"""

from typing import NamedTuple

from pipelines.bootstrap import Platform
from pipelines.config import Manifest, ReleaseFile, Variant, load_toml, parse_toml
from pipelines.contracts import Cloud
from pipelines.deployment.proposal import changes, propose_model, strategy
from pipelines.deployment.release_file import changed
from pipelines.github import pages
from pipelines.github.client import GitHubClient, Told
from pipelines.registry.model_store import CARD

_SHOWN = 8  # versions in the plot


class Proposed(NamedTuple):
    """What was told to people, if anything, and why."""

    told: Told | None
    reason: str
    refused: bool = False


def propose(platform: Platform, github: GitHubClient) -> Proposed:
    """Open the environment's promotion pull request for what is next in it, or bring the open one up to date.

    A model that may not be proposed becomes an issue, of which an environment has one. Nothing is said about a model
    that serves, served, is quarantined, was merged or was declined; nor while a release is live.
    """
    following, environment = following_model(platform), platform.settings.environment
    if following is None:
        return Proposed(None, "there is no candidate")
    path, branch, subject = github.release_file(environment), f"promote/{environment}", f"refused {environment}"
    merged = github.text(path, github.main)
    if why := _nothing_to_say(platform, github, following, branch, merged):
        return Proposed(None, why)
    name, manifest = f"v{following.version}", platform.models.manifest(following.model)
    how = strategy(platform.problem.config, "canary", {})
    release = propose_model(platform.models, platform.releases.state(), following, how)
    if merged is not None:  # an image is another change
        release = release.model_copy(update={"image": parse_toml(merged, ReleaseFile, path).image})
    if reasons := platform.release_target.refusals("propose", release, platform.settings.now()):
        refusal = "\n".join(reasons)
        body = pages.refusal(environment, following.version, manifest, refusal)
        told = github.put_issue(subject, f"No candidate for {environment} may be proposed", body, "refused")
        return Proposed(told, refusal, refused=True)
    text = _kept(github, path, branch, release) or changed(merged, release)
    title = f"Promote {name} to {environment}"
    told = github.put_pull(branch, path, text, title, _body(platform, release, manifest), "promotion")
    github.close_issue(subject, f"{name} passed its gates and is proposed in #{told.number}.")
    return Proposed(told, f"{name}: {manifest.reason}")


def _nothing_to_say(
    platform: Platform, github: GitHubClient, following: Variant, branch: str, merged: str | None
) -> str | None:
    """Return why nobody is told of a model; ``merged`` is the release file on the default branch."""
    state, name = platform.releases.state(), f"v{following.version}"
    mark = f"<!-- model {following.model} -->"
    if state.live:
        return f"a release is live; {name} waits for its end"
    if following.model in state.quarantined:
        return f"{name} is quarantined: {state.quarantined[following.model]}"
    if following.model in {variant.model for variant in platform.releases.tenures()}:
        return f"{name} serves, or did"
    if merged is not None and parse_toml(merged, ReleaseFile, branch).released.model == following.model:
        return f"{name} was merged"
    closed = [pull for pull in github.closed_pulls(branch) if mark in (pull.body or "") and not pull.merged_at]
    return f"{name} was declined in #{closed[0].number}" if closed else None


def following_model(platform: Platform) -> Variant | None:
    """Return what may come into an environment next, its bytes in the environment's store; None where nothing may."""
    source = load_toml(platform.root / "cloud.toml", Cloud).before(platform.settings.environment)
    if source is None:
        return _latest_judged(platform)
    before = platform.changed({"environment": source})
    champion = before.releases.state().champion
    if champion:
        platform.models.adopt(before.models, champion.model, champion.version)
    return champion


def _latest_judged(platform: Platform) -> Variant | None:
    for version, model in sorted(platform.models.versions().items(), reverse=True):
        if platform.models.manifest(model).gates:
            return Variant(model=model, version=version)
    return None


def _kept(github: GitHubClient, path: str, branch: str, release: ReleaseFile) -> str | None:
    """Return the file of the open pull request where it brings this very model: people may have edited the strategy."""
    text = github.text(path, branch) if github.open_pull(branch) else None
    if text is None or not github.is_current(branch, path):
        return None
    there = parse_toml(text, ReleaseFile, path)
    return text if (there.released, there.champion) == (release.released, release.champion) else None


def _body(platform: Platform, release: ReleaseFile, manifest: Manifest) -> str:
    versions = dict(sorted(platform.models.versions().items())[-_SHOWN:])
    versions |= {one.version: one.model for one in (release.champion, release.released)}
    manifests = {number: platform.models.manifest(model) for number, model in versions.items()}
    config, state = platform.problem.config, platform.releases.state()
    return pages.promotion(
        config,
        platform.settings.environment,
        release,
        changes(platform.models, config, state, release),
        {number: one for number, one in manifests.items() if one.gates or number == release.released.version},
        platform.runner.seconds(manifest.run_id),
        platform.models.attached(release.released.model, CARD),
    )
