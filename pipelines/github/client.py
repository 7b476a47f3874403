"""GitHub's API as the loop uses it: every call may be made twice, and then changes nothing the second time.

What is one thing for people is one thing here: a pull request for a branch, an issue and a comment for a subject. A
subject is found again by a marker in the text, which GitHub does not show.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pipelines.settings import Workflow

if TYPE_CHECKING:
    from github import GithubException
    from github.Issue import Issue
    from github.PullRequest import PullRequest
    from github.Repository import Repository

CHECKS = "ci.yml"
"""The workflow that checks a branch; GitHub starts none for what a workflow's own token pushes. Its name begins with
that of the folder where a project lies in one: ``make adopt``."""
REQUIRED_CHECK = "required checks"
"""The name of the check, or of the commit status, that the protected branch waits for."""


LONGEST = 65_536
"""Characters of a body that GitHub takes: https://github.com/PyGithub/PyGithub/issues/1906."""
_CUT = "\n\n</details>\n\n… The rest is cut: GitHub takes 65,536 characters. `mlops explain` shows all of it.\n\n"


class Told(NamedTuple):
    """What people find at ``url``, and whether this call changed it."""

    number: int
    url: str
    changed: bool


class GitHubClient:
    """A repository on GitHub, which needs the extra ``github``.

    Raises:
        GithubException: in every method, when GitHub refuses.
        RequestException: in every method, when GitHub does not answer.
    """

    def __init__(self, where: Workflow) -> None:
        from github import Auth, Github

        self._where = where
        self._api = Github(auth=Auth.Token(where.token), base_url=where.api, per_page=100)
        self._known: Repository | None = None

    @property
    def repository(self) -> "Repository":
        """The repository, asked for once."""
        if self._known is None:
            self._known = self._api.get_repo(self._where.repository)
        return self._known

    @cached_property
    def folder(self) -> str:
        """Where the project lies in the repository, with a slash at the end; empty for its root."""
        done = subprocess.run(["git", "rev-parse", "--show-prefix"], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    @property
    def checks(self) -> str:
        """The name of the workflow's file that checks a branch."""
        return f"{self.folder.rstrip('/')}-{CHECKS}" if self.folder else CHECKS

    def release_file(self, environment: str) -> str:
        """Return the path of an environment's release file in the repository."""
        return f"{self.folder}releases/{environment}.toml"

    @property
    def main(self) -> str:
        """The name of the default branch."""
        return self.repository.default_branch

    def text(self, path: str, ref: str) -> str | None:
        """Return a file at a branch or a commit, or None where there is none."""
        with _missing() as missing:
            found = self.repository.get_contents(path, ref=ref)
        if missing:
            return None
        assert not isinstance(found, list), "a path of a file"
        return found.decoded_content.decode()

    def unknown_owners(self) -> set[str]:
        """Return the owners in CODEOWNERS, each with its @, that GitHub does not know or that may not write here.

        GitHub leaves such an owner out without a word, and whoever may write can then approve:
        https://docs.github.com/en/rest/repos/repos#list-codeowners-errors.
        """
        with _missing() as missing:
            _, answer = self.repository.requester.requestJsonAndCheck("GET", f"{self.repository.url}/codeowners/errors")
        found = [] if missing else [one for one in answer["errors"] if one["kind"] == "Unknown owner"]
        return {word for one in found for word in re.findall(r"@[\w/-]+", one["suggestion"] or one["message"])}

    def is_current(self, branch: str, path: str) -> bool:
        """Say whether a branch changes a file from what the default branch has, so that merging it has no conflict."""
        base = self.repository.compare(self.main, branch).merge_base_commit
        return self.text(path, base.sha) == self.text(path, self.main)

    def open_pull(self, branch: str) -> "PullRequest | None":
        """Return the open pull request from a branch of the repository."""
        return next(iter(self._pulls(branch, "open")), None)

    def closed_pulls(self, branch: str) -> "list[PullRequest]":
        """Return the pull requests from a branch that were merged or declined, the latest first."""
        return self._pulls(branch, "closed")

    def put_pull(self, branch: str, path: str, text: str, title: str, body: str, label: str) -> Told:
        """Open the pull request from ``branch`` that makes a file be ``text``, or bring it up to date, and check it."""
        committed, body = self._commit(branch, path, text, title), fitted(body)
        pull = self.open_pull(branch)
        changed = committed or pull is None or (pull.title, pull.body) != (title, body)
        if pull is None:
            pull = self.repository.create_pull(base=self.main, head=branch, title=title, body=body)
            pull.add_to_labels(label)
        elif changed:
            pull.edit(title=title, body=body)
        if committed:
            self.repository.get_workflow(self.checks).create_dispatch(branch, throw=True)
        return Told(pull.number, pull.html_url, changed)

    def put_status(self, commit: str, passed: bool) -> None:
        """Set the commit status by which a branch protection counts a run of the checks that was dispatched.

        The check runs of such a run do not count, although they are on the commit under the required name: observed at
        https://github.com/ThemeParks/ThemeParks_JavaScript/pull/37. A commit status counts whoever may write sets it:
        https://docs.github.com/en/pull-requests/reference/status-checks.
        """
        where = f"{self.repository.html_url}/actions/workflows/{self.checks}"
        told = "all checks that this change concerns passed" if passed else "a check failed, or was cancelled"
        self.repository.get_commit(commit).create_status(
            "success" if passed else "failure", target_url=where, description=told, context=REQUIRED_CHECK
        )

    def put_issue(self, subject: str, title: str, body: str, label: str) -> Told:
        """Open the issue of a subject, or bring it up to date; a closed one of the same subject stays closed."""
        whole = _marked(subject, body)
        issue = self._issue(subject)
        changed = issue is None or (issue.title, issue.body) != (title, whole)
        if issue is None:
            issue = self.repository.create_issue(title, whole, labels=[label])
        elif changed:
            issue.edit(title=title, body=whole)
        return Told(issue.number, issue.html_url, changed)

    def has_issue(self, subject: str, label: str) -> bool:
        """Say whether a subject has an issue, open or closed."""
        return any(_is_of(subject, issue.body) for issue in self.repository.get_issues(state="all", labels=[label]))

    def close_issue(self, subject: str, why: str) -> Told | None:
        """Close the open issue of a subject, if there is one, with a comment that says why."""
        issue = self._issue(subject)
        if issue is None:
            return None
        issue.create_comment(why)
        issue.edit(state="closed")
        return Told(issue.number, issue.html_url, changed=True)

    def put_comment(self, number: int, subject: str, body: str) -> Told:
        """Write the comment of a subject under a pull request or an issue, or bring it up to date."""
        issue, whole = self.repository.get_issue(number), _marked(subject, body)
        for comment in issue.get_comments():
            if _is_of(subject, comment.body):
                if changed := comment.body != whole:
                    comment.edit(whole)
                return Told(number, comment.html_url, changed)
        return Told(number, issue.create_comment(whole).html_url, changed=True)

    def _pulls(self, branch: str, state: str) -> "list[PullRequest]":
        head = f"{self._where.repository.partition('/')[0]}:{branch}"
        return list(self.repository.get_pulls(state=state, head=head, base=self.main))

    def _issue(self, subject: str) -> "Issue | None":
        issues = self.repository.get_issues(state="open")
        return next((one for one in issues if not one.pull_request and _is_of(subject, one.body)), None)

    def _commit(self, branch: str, path: str, text: str, message: str) -> bool:
        """Make a branch be the default one with a file changed, and say whether it was not; one commit, one move."""
        from github import InputGitTreeElement

        if self.text(path, branch) == text and self.is_current(branch, path):
            return False
        main = self.repository.get_git_commit(self.repository.get_branch(self.main).commit.sha)
        element = InputGitTreeElement(path, "100644", "blob", content=text)
        tree = self.repository.create_git_tree([element], base_tree=main.tree)
        commit = self.repository.create_git_commit(message, tree, [main])
        with _missing() as missing:
            self.repository.get_git_ref(f"heads/{branch}").edit(commit.sha, force=True)
        if missing:
            self.repository.create_git_ref(f"refs/heads/{branch}", commit.sha)
        return True


@contextmanager
def _missing() -> "Iterator[list[GithubException]]":
    """Give a list that is empty after the context unless GitHub answered that it does not have what was asked for."""
    from github import GithubException

    said: list[GithubException] = []
    try:
        yield said
    except GithubException as error:
        if error.status != 404:
            raise
        said.append(error)


def fitted(body: str) -> str:
    """Return a body that GitHub takes: a longer one is cut before its last line, the mark by which it is found."""
    if len(body) <= LONGEST:
        return body
    last = body.rstrip().rpartition("\n")[2]
    return body[: LONGEST - len(_CUT) - len(last)] + _CUT + last


def _marked(subject: str, body: str) -> str:
    return fitted(f"{body.rstrip()}\n\n<!-- mlops: {subject} -->")


def _is_of(subject: str, body: str | None) -> bool:
    return (body or "").endswith(f"<!-- mlops: {subject} -->")
