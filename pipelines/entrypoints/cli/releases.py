"""The commands that move a release: each shows what it will change, and asks when somebody is there."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import REFUSED, AsOf, Json, app, console, moment, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.bootstrap import Platform
    from pipelines.config import ReleaseEntry, ReleaseFile, ReleaseState
    from pipelines.deployment.transitions import Actor

Who = Annotated[str | None, typer.Option(help="Who does this. Default: the user of this machine.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal nobody is asked.")]

release_app = typer.Typer(help="What happens to a release while it is live.", no_args_is_help=True)
app.add_typer(release_app, name="release")


@app.command("propose")
def propose_command(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="The version, such as v3, or the beginning of a digest. Default: what the file says."),
    ] = None,
    strategy: Annotated[str, typer.Option(help="all-at-once, blue-green, canary, shadow or ab.")] = "canary",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the strategy, such as steps=[0.05,0.25]."),
    ] = None,
    override: Annotated[str | None, typer.Option(help="Why to release a model that did not pass its gates.")] = None,
    who: Who = None,
    as_of: AsOf = None,
    yes: Yes = False,
) -> None:
    """Write a model into the environment's release file, for people to review; or propose the file as it stands."""
    from pipelines.deployment.proposal import changes
    from pipelines.deployment.release_file import read_release, write_release
    from pipelines.deployment.transitions import propose

    platform: Platform = context.obj
    folder, environment = platform.settings.releases, platform.settings.environment
    state = platform.releases.state()
    if model is None:
        release = read_release(folder, environment)
    else:
        release = _proposed(platform, state, model, strategy, settings or [], override)
    _show(changes(platform.models, platform.problem.config, state, release))
    _ask(yes, f"Propose v{release.released.version} for {environment}?")
    entry = propose(platform.release_target, _actor(platform, who, as_of), release)
    path = write_release(folder, environment, release)
    _tell(entry)
    console.print(f"  [dim]written to {path}; next: mlops approve, then mlops deploy[/]")


@app.command("approve")
def approve_command(context: typer.Context, who: Who = None, as_of: AsOf = None, yes: Yes = False) -> None:
    """Approve the environment's release file as it was proposed; on GitHub its reviewed merge does."""
    from pipelines.deployment.proposal import changes
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.transitions import approve

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    _show(changes(platform.models, platform.problem.config, platform.releases.state(), release))
    _ask(yes, f"Approve v{release.released.version} for {platform.settings.environment}?")
    _tell(approve(platform.release_target, _actor(platform, who, as_of), release))


@app.command()
def deploy(context: typer.Context, who: Who = None, as_of: AsOf = None) -> None:
    """Bring the environment to its approved release file; safe to run twice."""
    from pipelines.deployment import DeploymentParams
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.rules import is_deployed

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    if is_deployed(platform.releases.state(), release):
        console.print(f"nothing to do: v{release.released.version} is deployed")
        return
    actor = _actor(platform, who, as_of)
    platform.run("deployment", DeploymentParams(release=release, as_of=actor.at, who=actor.who))
    entry = platform.releases.latest()
    assert entry, "a deployed release is in the log"
    _tell(entry)
    _confirm(platform, entry)


@app.command()
def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    to: Annotated[str | None, typer.Option(help="Take the champion out, for this earlier one.")] = None,
    champion: Annotated[bool, typer.Option(help="Take the champion out, for the one before it.")] = False,
    who: Who = None,
    as_of: AsOf = None,
    yes: Yes = False,
) -> None:
    """Take the challenger out, or withdraw the release that waits; with --champion or --to, take the champion out.

    Safe to run twice: what the latest transition did already is not done again.
    """
    from pipelines.config import Variant
    from pipelines.deployment.rules import way_back
    from pipelines.deployment.target import champions
    from pipelines.deployment.transitions import Moved, roll_back

    platform: Platform = context.obj
    target = None
    if to:
        digest, version = platform.models.resolve(to)
        target = Variant(model=digest, version=version)
    while True:
        latest = platform.release_target.latest()
        back = way_back(latest, champions(platform.releases), target, champion)
        assert latest, "without a transition there is no way back"
        if back.action is None:
            console.print("done already:", end=" ")
            _tell(latest)
            return
        named = f"v{back.out.version}"
        _show(
            [
                ("withdraws", named)
                if back.action == "withdraw"
                else ("takes out", f"{named}, which is quarantined then"),
                ("answers", f"v{back.champion.version}" if back.champion else "nothing yet"),
            ]
        )
        _ask(yes, f"Roll back {platform.settings.environment}?")
        try:  # what was shown is what is done, or we look again
            entry = roll_back(
                platform.release_target, _actor(platform, who, as_of), reason, target, champion, latest.number
            )
        except Moved:
            continue
        _tell(entry)
        _confirm(platform, entry)
        return


@release_app.command("tick")
def tick_command(context: typer.Context, as_of: AsOf = None) -> None:
    """Judge the live release: advance, promote, conclude or roll it back, or let it go on."""
    from pipelines.deployment.tick import tick
    from pipelines.deployment.transitions import Actor

    platform: Platform = context.obj
    actor = Actor("canary analysis", moment(platform, as_of))
    judged = tick(platform.problem, platform.tables, platform.predictions, platform.release_target, actor)
    if judged is None:
        console.print("no release is live")
        return
    console.print(f"{judged.verdict.outcome.value}: {judged.verdict.reason}")
    _tell(judged.entry)
    _confirm(platform, judged.entry)


@release_app.command("report")
def report_command(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Compare the two variants of the latest release with a challenger, on what they answered."""
    from pipelines.deployment.comparison import compare_live, rows

    platform: Platform = context.obj
    found = compare_live(
        platform.problem, platform.tables, platform.predictions, platform.releases, moment(platform, as_of)
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(rows(platform.problem.config, found))


@release_app.command("check")
def check_command(context: typer.Context, as_of: AsOf = None) -> None:
    """Say what is wrong with the environment's release file before it is merged (exit code 3)."""
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.rules import is_deployed

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    found = platform.release_target.refusals("check", release, moment(platform, as_of))
    for reason in found:
        console.print("[red]✘[/]", end=" ")
        console.print(reason, markup=False, soft_wrap=True)
    if found:
        raise typer.Exit(REFUSED)
    says = "is deployed" if is_deployed(platform.releases.state(), release) else "may be released"
    console.print(f"[green]✔[/] v{release.released.version} {says} to {platform.settings.environment}")


@release_app.command("schema")
def schema_command() -> None:
    """Print the JSON schema of a release file, for editors."""
    from pipelines.config import ReleaseFile

    print_json(ReleaseFile.model_json_schema())


def _proposed(
    platform: "Platform", state: "ReleaseState", model: str, kind: str, settings: list[str], override: str | None
) -> "ReleaseFile":
    from pipelines.config import Variant
    from pipelines.deployment.proposal import propose_model, strategy

    digest, version = platform.models.resolve(model)
    how = strategy(platform.problem.config, kind, dict(_setting(text) for text in settings))
    return propose_model(platform.models, state, Variant(model=digest, version=version), how, override)


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _show(rows: "Iterable[tuple[str, ...]]") -> None:
    """Print rows of a name and a text, and those of a name and two values as a table between them."""
    for name, *values in rows:
        text = "".join(f"{value:>14}" for value in values) if len(values) > 1 else values[0]
        console.print(f"  [dim]{name:<18}[/]{escape(text)}", soft_wrap=True)


def _ask(yes: bool, question: str) -> None:
    if not yes and console.is_terminal and not typer.confirm(question):
        raise typer.Exit(1)


def _actor(platform: "Platform", who: str | None, as_of: AsOf) -> "Actor":
    from pipelines.deployment.transitions import Actor

    return Actor(who or getpass.getuser(), moment(platform, as_of))


def _tell(entry: "ReleaseEntry") -> None:
    where = f"[dim](transition {entry.number}, by {entry.who})[/]"
    console.print(f"[green]✔[/] {entry.action}: {escape(entry.summary)} {where}")


def _confirm(platform: "Platform", entry: "ReleaseEntry") -> None:
    """Wait for the serving app's own word on a transition, and tell it; exits with 1 when an instance refused it."""
    from pipelines.deployment.confirmation import confirm

    found = confirm(platform.release_target.instances, entry.number, platform.settings.confirm_seconds)
    colour = "dim" if found.is_complete else "yellow"
    console.print(f"  [{colour}]{escape(str(found))}[/]", soft_wrap=True)
    if found.refused:
        raise typer.Exit(1)
