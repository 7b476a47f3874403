"""Approvals: proves that an owner who wrote none of a release file reviewed exactly the merged version.

GitHub enforces this only on plans that protect branches (docs/github.md), so this module looks the review up, and
refuses a file that was pushed past it.
"""

import fnmatch
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pipelines.config import Refused
from pipelines.github.client import GitHubClient

if TYPE_CHECKING:
    from github.PullRequest import PullRequest

OWNERS = ".github/CODEOWNERS"
_WRITERS = ("write", "maintain", "admin")


class Approval(NamedTuple):
    """Who wrote a release file, who approved it, and in which pull request, merged as ``commit``."""

    pull: int
    author: str
    approver: str
    commit: str


def approval(github: GitHubClient, path: str, text: str) -> Approval:
    """Return the approval of a file that is ``text`` here.

    Raises:
        Refused: when the default branch holds another text by now; when the latest change of the file came by no
            merged pull request, or is not what was merged; when nobody approved the last commit who may.
    """
    if github.text(path, github.main) != text:
        raise Refused(f"{path} is another one on {github.main} by now; the run of that commit deploys it")
    latest = next(iter(github.repository.get_commits(path=path, sha=github.main)))
    merged = [pull for pull in latest.get_pulls() if pull.merged_at and pull.base.ref == github.main]
    if not merged:
        raise Refused(
            f"{path} was changed by {latest.sha[:12]}, which no pull request brought; a review is the approval"
        )
    pull = merged[0]
    if github.text(path, pull.merge_commit_sha or "") != text:
        raise Refused(f"{path} is not what pull request #{pull.number} merged")
    wrote = {pull.user.login, *_authors(github, pull, path)}
    approved = [login for login in _approved(github, pull, path) if login not in wrote]
    allowed = owners(github.text(OWNERS, github.main) or "", path)
    if unknown := github.unknown_owners() & set(allowed):
        raise Refused(
            f"{OWNERS} names {' and '.join(sorted(unknown))} as owner of {path}, whom GitHub does not know or who may "
            "not write here, so anybody who may write could approve; name owners who exist and have write access"
        )
    for login in approved:
        if _may(github, login, allowed):
            return Approval(pull.number, pull.user.login, login, pull.merge_commit_sha or "")
    by = f"; {', '.join(approved)} may not, by {OWNERS}" if approved else ""
    raise Refused(
        f"nobody who may approved the last commit of pull request #{pull.number}{by}; "
        f"{' or '.join(allowed) or 'no one'} may, who wrote none of it"
    )


def owners(codeowners: str, path: str) -> tuple[str, ...]:
    """Return who owns a path, by the last line of the file whose pattern is the path or a folder above it."""
    found: tuple[str, ...] = ()
    for line in codeowners.splitlines():
        pattern, *names = line.partition("#")[0].split() or [""]
        if pattern and _matches(pattern, path):
            found = tuple(names)
    return found


def _matches(pattern: str, path: str) -> bool:
    anchored = pattern.lstrip("/")
    if anchored.endswith("/"):
        return path.startswith(anchored) if pattern.startswith("/") else f"/{anchored}" in f"/{path}"
    return fnmatch.fnmatchcase(path, anchored)


def _authors(github: GitHubClient, pull: "PullRequest", path: str) -> Iterable[str]:
    """Yield who changed a file in a pull request; who only brought its branch up to date with main wrote none of it."""
    for commit in pull.get_commits():
        merges = len(commit.parents) > 1
        if commit.author and not (merges and github.text(path, commit.sha) == github.text(path, commit.parents[0].sha)):
            yield commit.author.login


def _approved(github: GitHubClient, pull: "PullRequest", path: str) -> Iterable[str]:
    """Yield who approved the file as it was merged, by each person's latest review; workflows do not count.

    The file is compared and not the commit, because a commit that only brings the branch up to date may follow.
    """
    words = {}
    for review in pull.get_reviews():
        if review.state != "COMMENTED" and review.user and review.user.type == "User":
            words[review.user.login] = (review.state, review.commit_id)
    merged = github.text(path, pull.head.sha)
    return [
        login
        for login, (state, commit) in words.items()
        if state == "APPROVED" and (commit == pull.head.sha or github.text(path, commit) == merged)
    ]


def _may(github: GitHubClient, login: str, allowed: Iterable[str]) -> bool:
    """Return whether a person is an owner, by name; a workflow's token cannot see the members of a team.

    For a team GitHub must protect the branch, and the person must have write permission.
    """
    names = [name.removeprefix("@") for name in allowed]
    if login in names:
        return True
    teams = [name for name in names if "/" in name]
    if not teams or not github.repository.get_branch(github.main).protected:
        return False
    return github.repository.get_collaborator_permission(login) in _WRITERS
