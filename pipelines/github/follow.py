"""From a merge to the record of its approval, and from the end of a release to what people are told of it."""

from typing import NamedTuple

from pipelines.bootstrap import Platform
from pipelines.config import Phase, Refused, ReleaseEntry, ReleaseFile, parse_toml
from pipelines.deployment.proposal import standing
from pipelines.deployment.release_file import changed
from pipelines.deployment.release_rules import is_deployed
from pipelines.deployment.transitions import Actor, StaleDecision, approve, propose
from pipelines.github import pages
from pipelines.github.approval import approval
from pipelines.github.client import GitHubClient, Told

_ENDS = ("promote", "conclude", "roll back")


class Recorded(NamedTuple):
    """Whether the release file of this checkout is approved and waits for its deployment, why, and with which image."""

    approved: bool
    reason: str
    image: str = ""


def record_approval(platform: Platform, github: GitHubClient) -> Recorded:
    """Look up the review of the environment's release file, and record proposal and approval in the signed log.

    A file that is deployed already, or was carried out to its end, asks for nothing.

    Raises:
        Refused: when the file was not approved (:func:`pipelines.github.approval.approval`), may not be proposed, or
            brings a quarantined model that nobody proposed anew.
    """
    path = platform.settings.releases / f"{platform.settings.environment}.toml"
    if not path.exists():
        return Recorded(approved=False, reason=f"there is no {path}")
    text = path.read_text(encoding="utf-8")
    release = parse_toml(text, ReleaseFile, str(path))
    while True:
        try:
            return _recorded(platform, github, text, release)
        except StaleDecision:  # another run recorded something first: look again
            continue


def _recorded(platform: Platform, github: GitHubClient, text: str, release: ReleaseFile) -> Recorded:
    latest, state = platform.releases.latest(), platform.releases.state()
    name = f"v{release.released.version}"
    if state.proposal == release and state.phase is Phase.APPROVED:
        return Recorded(approved=True, reason=f"{name} is approved", image=release.image or "")
    if is_deployed(state, release) or (state.proposal == release and state.phase is not Phase.PROPOSED):
        return Recorded(approved=False, reason=f"nothing to do: {name} is {state.phase.value}")
    if release.released.model in state.quarantined:
        reason = state.quarantined[release.released.model]
        raise Refused(f"{name} is quarantined: {reason}; 'mlops propose {name}' proposes it anew")
    found = approval(github, github.release_file(platform.settings.environment), text)
    at = platform.settings.now()
    if state.proposal != release or state.phase is not Phase.PROPOSED:
        number = latest.number if latest else 0
        latest = propose(platform.release_target, Actor(found.author, at), release, after=number)
    assert latest, "what is proposed is in the log"
    how = f"review of #{found.pull}, merged as {found.commit[:12]}"
    approve(platform.release_target, Actor(found.approver, at), release, how, found.pull, after=latest.number)
    return Recorded(approved=True, reason=f"{name}: {how}, approved by {found.approver}", image=release.image or "")


def follow(platform: Platform, github: GitHubClient) -> list[Told]:
    """Tell what became of the environment's latest release that ended: a comment on its pull request.

    After a rollback also an incident issue, and while the release file still wishes for what was rolled back, the pull
    request that takes the wish back.
    """
    entries = latest_ended(list(platform.releases.entries()))
    if not entries:
        return []
    environment, last, told = platform.settings.environment, entries[-1], []
    if pull := entries[0].pull:
        told.append(github.put_comment(pull, f"verdict {environment}", pages.verdict(entries)))
    state = platform.releases.state()
    if last.action != "roll back" or state.phase is not Phase.ROLLED_BACK:
        return told
    subject = f"incident {environment} {last.number}"
    if not github.has_issue(subject, "incident"):
        title = f"{environment}: rolled back {last.summary}"
        told.append(github.put_issue(subject, title[:200], pages.incident(environment, entries), "incident"))
    path, branch = github.release_file(environment), f"revert/{environment}"
    text = github.text(path, github.main)
    if text is not None and not is_deployed(state, parse_toml(text, ReleaseFile, path)):
        release = standing(platform.models, state)
        title = f"Revert {environment} to v{release.champion.version}"
        body = f"{pages.verdict(entries)} This makes `{path}` say what serves; merging it changes no traffic."
        told.append(github.put_pull(branch, path, changed(text, release), title, body, "incident"))
    return told


def latest_ended(entries: list[ReleaseEntry]) -> list[ReleaseEntry]:
    """Return the transitions of the release that ended last, from its approval to its end; a later one may be live."""
    ends = [place for place, entry in enumerate(entries) if entry.action in _ENDS]
    if not ends:
        return []
    approvals = [place for place in range(ends[-1]) if entries[place].action == "approve"]
    return entries[approvals[-1] : ends[-1] + 1] if approvals else entries[ends[-1] :]
