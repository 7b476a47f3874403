"""The commands of the workflows that GitHub is told or asked by; a person with a token may run each of them too."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.entrypoints.cli.app import app, console

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.github.client import GitHubClient, Told

github_app = typer.Typer(
    help="Pull requests, issues and reviews on GitHub. GITHUB_TOKEN and GITHUB_REPOSITORY say as whom and where.",
    no_args_is_help=True,
)
app.add_typer(github_app, name="github")

Subject = Annotated[str, typer.Option(help="What it is about; there is one of each.")]
Body = Annotated[Path, typer.Option(help="The file with its text, in Markdown.", exists=True, dir_okay=False)]


def _answered(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command tell as an error for people what GitHub says no to."""

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


@github_app.command("propose")
@_answered
def propose_command(context: typer.Context) -> None:
    """Open or update the environment's promotion pull request, or the issue that says why there is none."""
    from pipelines.github.propose import propose

    done = propose(context.obj, _github())
    mark = "[red]✘[/]" if done.refused else "[green]✔[/]" if done.told else "[dim]·[/]"
    console.print(mark, end=" ")
    console.print(done.reason, markup=False)
    _tell(done.told)


@github_app.command("approve")
@_answered
def approve_command(context: typer.Context) -> None:
    """Record the approval of the environment's release file, after looking up the review of what merged it."""
    from pipelines.github.follow import record_approval
    from pipelines.settings import workflow

    done = record_approval(context.obj, _github())
    console.print(done.reason, markup=False)
    if output := workflow().output:
        with output.open("a", encoding="utf-8") as file:
            file.write(f"approved={str(done.approved).lower()}\nimage={done.image}\n")


@github_app.command("follow")
@_answered
def follow_command(context: typer.Context) -> None:
    """Tell what became of the latest release: on its pull request, and after a rollback by an incident and a revert."""
    from pipelines.github.follow import follow

    platform: Platform = context.obj
    told = follow(platform, _github())
    for one in told:
        _tell(one)
    if not told:
        console.print(f"no release of {platform.settings.environment} has ended yet that people should be told of")


@github_app.command("comment")
@_answered
def comment_command(
    pull: Annotated[int, typer.Option(help="The number of the pull request or issue.")], subject: Subject, body: Body
) -> None:
    """Write the comment of a subject under a pull request, or bring it up to date."""
    _tell(_github().put_comment(pull, subject, body.read_text(encoding="utf-8")))


@github_app.command("issue")
@_answered
def issue_command(
    subject: Subject,
    title: Annotated[str, typer.Option(help="Its title.")],
    body: Body,
    label: Annotated[str, typer.Option(help="The label of a new one.")] = "drift",
    close: Annotated[bool, typer.Option("--close", help="Close it, with this text, if there is one.")] = False,
) -> None:
    """Open the issue of a subject, or bring it up to date, or close it."""
    text = body.read_text(encoding="utf-8")
    _tell(_github().close_issue(subject, text) if close else _github().put_issue(subject, title, text, label))


@github_app.command("status")
@_answered
def status_command(
    commit: Annotated[str, typer.Option(envvar="COMMIT", help="The commit that was checked.")],
    result: Annotated[str, typer.Option(envvar="RESULT", help="The result of the job that requires all others.")],
) -> None:
    """Set the commit status that a protected branch waits for, after a dispatched run of the checks."""
    _github().put_status(commit, result == "success")
    console.print(f"{commit[:12]}: {result}")


def _github() -> "GitHubClient":
    from pipelines.github.client import GitHubClient
    from pipelines.settings import workflow

    return GitHubClient(workflow())


def _tell(told: "Told | None") -> None:
    if told:
        console.print(f"  {told.url} [dim]{'changed' if told.changed else 'as it was'}[/]", soft_wrap=True)
