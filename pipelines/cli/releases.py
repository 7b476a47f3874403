"""The commands that move a release: propose, approve, deploy, tick, rollback."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import AsOf, app, console, moment

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.deployment.transitions import Actor
    from pipelines.spec import ReleaseEntry

Who = Annotated[str | None, typer.Option(help="Who does this. Default: the user of this machine.")]

release_app = typer.Typer(help="What happens to a release while it rolls.", no_args_is_help=True)
app.add_typer(release_app, name="release")


@app.command("propose")
def propose_command(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The version, such as v3, or the beginning of a digest.")],
    strategy: Annotated[str, typer.Option(help="canary or all-at-once.")] = "canary",
    override: Annotated[str | None, typer.Option(help="Why to release a model that did not pass its gates.")] = None,
    who: Who = None,
    as_of: AsOf = None,
) -> None:
    """Write a model into the environment's release file, for people to review."""
    from pipelines.deployment.release_file import write_release
    from pipelines.deployment.transitions import propose
    from pipelines.spec import AllAtOnce, CanaryStrategy, ReleaseFile, Strategy, UserError

    platform: Platform = context.obj
    digest, version = platform.models.resolve(model)
    canary = platform.problem.statement.canary
    strategies: dict[str, Strategy] = {
        "canary": CanaryStrategy(share=canary.share, bake=canary.bake),
        "all-at-once": AllAtOnce(),
    }
    if strategy not in strategies:
        raise UserError(f"there is no strategy {strategy!r}; choose {' or '.join(strategies)}")
    release = ReleaseFile(model=digest, version=version, strategy=strategies[strategy], override=override)
    entry = propose(platform.releases, platform.models, _actor(who, as_of), release)
    path = write_release(platform.settings.releases, platform.settings.environment, release)
    _tell(entry)
    console.print(f"  [dim]written to {path}; next: mlops approve, then mlops deploy[/]")


@app.command("approve")
def approve_command(context: typer.Context, who: Who = None, as_of: AsOf = None) -> None:
    """Approve the environment's release file as it was proposed; on GitHub its reviewed merge does."""
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.transitions import approve

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    _tell(approve(platform.releases, _actor(who, as_of), release))


@app.command()
def deploy(context: typer.Context, who: Who = None, as_of: AsOf = None) -> None:
    """Bring the environment to its approved release file; safe to run twice."""
    from pipelines.deployment import DeploymentParams
    from pipelines.deployment.release_file import read_release

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    actor = _actor(who, as_of)
    platform.run("deployment", DeploymentParams(release=release, as_of=actor.at, who=actor.who))
    entry = platform.releases.latest()
    assert entry, "a deployed release is in the log"
    _tell(entry)


@app.command()
def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    who: Who = None,
    as_of: AsOf = None,
) -> None:
    """Take the challenger out, or when there is none go back to the champion before this one."""
    from pipelines.deployment.transitions import roll_back

    platform: Platform = context.obj
    _tell(roll_back(platform.releases, _actor(who, as_of), reason))


@release_app.command("tick")
def tick_command(context: typer.Context, as_of: AsOf = None) -> None:
    """Judge the rolling release: promote it, roll it back, or let it go on."""
    from pipelines.deployment.judge import tick
    from pipelines.deployment.transitions import Actor

    platform: Platform = context.obj
    actor = Actor("judge", moment(as_of))
    judged = tick(platform.problem, platform.tables, platform.predictions, platform.releases, actor)
    if judged is None:
        console.print("no release is rolling")
        return
    console.print(f"{judged.verdict.outcome.value}: {judged.verdict.reason}")
    _tell(judged.entry)


def _actor(who: str | None, as_of: AsOf) -> "Actor":
    from pipelines.deployment.transitions import Actor

    return Actor(who or getpass.getuser(), moment(as_of))


def _tell(entry: "ReleaseEntry") -> None:
    console.print(f"[green]✔[/] {entry.action}: {entry.reason} [dim](transition {entry.number}, by {entry.who})[/]")
