"""The commands by which workflows read and write GitHub; a person with a token may run each of them too."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import command, group, lasting
from pipelines.entrypoints.cli.terminal import NO, NOTE, OK, say

if TYPE_CHECKING:
    from pipelines.github.client import GitHubClient, Told

github_app = group("github", "Pull requests, issues and reviews, by GITHUB_TOKEN.")

Subject = Annotated[str, typer.Option(metavar="NAME", help="What it is about; there is one of each.")]
Body = Annotated[Path, typer.Option(metavar="FILE", help="Its text, in Markdown.", exists=True, dir_okay=False)]


def _answered(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command report what GitHub refuses as an error for people."""

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:
        from pipelines.config import UserError

        try:
            from github import GithubException
            from requests import RequestException
        except ModuleNotFoundError as error:
            raise UserError("GitHub needs PyGithub: run 'uv sync --extra github'") from error
        try:
            command(*args, **given)
        except GithubException as error:
            raise UserError(f"GitHub says no: {error}; does the token have the permission?") from error
        except RequestException as error:
            raise UserError(f"GitHub does not answer: {error}") from error

    return run


@command(
    github_app,
    "mlops -e dev github propose",
)
@_answered
def propose_command(context: typer.Context) -> None:
    """Open or update the promotion pull request, or the issue that says why not."""
    from pipelines.github.propose import propose

    done = propose(lasting(context.obj), _github())
    say(f"{NO if done.refused else OK if done.told else NOTE} {escape(done.reason)}")
    _tell(done.told)


@command(
    github_app,
    "mlops -e dev github approve",
)
@_answered
def approve_command(context: typer.Context) -> None:
    """Record the approval of the release file, if its merge was reviewed."""
    from pipelines.github.follow import record_approval
    from pipelines.settings import workflow

    done = record_approval(lasting(context.obj), _github())
    say(escape(done.reason))
    if output := workflow().output:
        with output.open("a", encoding="utf-8") as file:
            file.write(f"approved={str(done.approved).lower()}\nimage={done.image}\n")


@command(
    github_app,
    "mlops -e dev github follow",
)
@_answered
def follow_command(context: typer.Context) -> None:
    """Report the latest release on its pull request.

    After a rollback, also open an incident and a pull request that reverts the release file.
    """
    from pipelines.github.follow import follow

    platform = lasting(context.obj)
    told = follow(platform, _github())
    for one in told:
        _tell(one)
    if not told:
        say(f"no release of {platform.settings.environment} has ended since the last report")


@command(
    github_app,
    "mlops github comment --pull 7 --subject preview --body preview.md",
)
@_answered
def comment_command(
    pull: Annotated[int, typer.Option(metavar="NUMBER", help="The pull request or issue.")],
    subject: Subject,
    body: Body,
) -> None:
    """Write or update the comment of a subject under a pull request."""
    _tell(_github().put_comment(pull, subject, body.read_text(encoding="utf-8")))


@command(
    github_app,
    "mlops github issue --subject drift-dev --title Drift --body drift.md",
    "mlops github issue --subject drift-dev --title Drift --body none.md --close",
)
@_answered
def issue_command(
    subject: Subject,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Its title.")],
    body: Body,
    label: Annotated[str, typer.Option(metavar="NAME", help="The label of a new one.")] = "drift",
    close: Annotated[bool, typer.Option("--close", help="Close it with this text, if there is one.")] = False,
) -> None:
    """Open, update or close the issue of a subject."""
    text = body.read_text(encoding="utf-8")
    _tell(_github().close_issue(subject, text) if close else _github().put_issue(subject, title, text, label))


@command(github_app, "mlops github status --commit 5f3c2a1 --result success")
@_answered
def status_command(
    commit: Annotated[str, typer.Option(metavar="SHA", envvar="COMMIT", help="The commit that was checked.")],
    result: Annotated[
        str, typer.Option(metavar="RESULT", envvar="RESULT", help="The result of the required job, such as success.")
    ],
) -> None:
    """Set the commit status that a protected branch waits for."""
    _github().put_status(commit, result == "success")
    say(f"{OK if result == 'success' else NO} {commit[:12]}: {escape(result)}")


def _github() -> "GitHubClient":
    from pipelines.github.client import GitHubClient
    from pipelines.settings import workflow

    return GitHubClient(workflow())


def _tell(told: "Told | None") -> None:
    if told:
        say(f"  {told.url} [dim]{'changed' if told.changed else 'as it was'}[/]")
