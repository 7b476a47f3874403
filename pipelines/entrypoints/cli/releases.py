"""The commands that move a release: propose, approve, deploy, rollback, promote, release.

Each shows what it will change, and asks when somebody is there.
"""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import AsOf, Json, Version, app, command, group, lasting, moment
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import NO, console, done, errors, print_json, print_pairs, say, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.bootstrap import Platform
    from pipelines.config import ReleaseEntry, ReleaseFile, ReleaseState, Variant
    from pipelines.deployment.transitions import Actor

Who = Annotated[str | None, typer.Option(metavar="NAME", help="Who does this. Default: the user of this machine.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal nobody is asked.")]

release_app = group("release", "Judge, compare or check a release.")


@command(
    app,
    "mlops propose v3",
    "mlops propose v3 --strategy canary --set steps=[0.05,0.25] --set bake=6h",
    'mlops propose v3 --override "the gate\'s data were late"',
)
def propose_command(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A version, such as v3. Default: what the release file says."),
    ] = None,
    strategy: Annotated[
        str, typer.Option(metavar="KIND", help="all-at-once, blue-green, canary, shadow or ab.")
    ] = "canary",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the strategy; repeat for several."),
    ] = None,
    override: Annotated[
        str | None, typer.Option(metavar="REASON", help="Release a model that did not pass its gates, and say why.")
    ] = None,
    who: Who = None,
    as_of: AsOf = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Write a model into the environment's release file, for review.

    People review that file; on GitHub in a pull request. Without MODEL the file is proposed as it stands.
    """
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
    if not as_json:
        _show(changes(platform.models, platform.problem.config, state, release))
    _ask(yes, f"Propose v{release.released.version} for {environment}?")
    entry = propose(platform.release_target, _actor(platform, who, as_of), release)
    path = write_release(folder, environment, release)
    _tell(entry, as_json)
    if not as_json:
        say(f"  [dim]written to {path}[/]")
        suggest("mlops approve, then mlops deploy")


@command(app, "mlops approve", "mlops approve --who ada --yes")
def approve_command(
    context: typer.Context, who: Who = None, as_of: AsOf = None, yes: Yes = False, as_json: Json = False
) -> None:
    """Approve the release file; on GitHub its reviewed merge does."""
    from pipelines.deployment.proposal import changes
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.transitions import approve

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    if not as_json:
        _show(changes(platform.models, platform.problem.config, platform.releases.state(), release))
    _ask(yes, f"Approve v{release.released.version} for {platform.settings.environment}?")
    _tell(approve(platform.release_target, _actor(platform, who, as_of), release), as_json)
    if not as_json:
        suggest("mlops deploy")


@command(app, "mlops deploy", "mlops -e staging deploy --who ada")
def deploy(context: typer.Context, who: Who = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Bring the environment to its approved release file.

    Safe to run twice: what is deployed is left alone.
    """
    from pipelines.deployment import DeploymentParams
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.release_rules import is_deployed

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    deployed = is_deployed(platform.releases.state(), release)
    if not deployed:
        actor = _actor(platform, who, as_of)
        with console.status("[dim]deployment[/]"):
            platform.run("deployment", DeploymentParams(release=release, as_of=actor.at, who=actor.who))
    entry = platform.releases.latest()
    assert entry, "a deployed release is in the log"
    if deployed and not as_json:
        console.print(f"nothing to do: v{release.released.version} is deployed")
        return
    _tell(entry, as_json)
    if not deployed:
        _confirm(platform, entry, as_json)


@command(
    app,
    'mlops rollback --reason "wrong prices"',
    'mlops rollback --reason "wrong prices" --to v2 --yes',
)
def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")],
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Take the champion out, for this earlier one.")
    ] = None,
    champion_out: Annotated[
        bool, typer.Option("--champion/--no-champion", help="Take the champion out, for the one before it.")
    ] = False,
    who: Who = None,
    as_of: AsOf = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take the challenger out, or withdraw a pending release.

    With --champion or --to it takes the champion out. The model that is taken out is quarantined: it does not come back
    unless it is proposed anew. Safe to run twice: what the latest transition did is not done again.
    """
    from pipelines.config import Variant
    from pipelines.deployment.release_rules import way_back
    from pipelines.deployment.transitions import StaleDecision, roll_back

    platform = lasting(context.obj)
    target = None
    if to:
        digest, version = platform.models.resolve(to)
        target = Variant(model=digest, version=version)
    while True:
        latest = platform.release_target.latest()
        back = way_back(latest, platform.releases.tenures(), target, champion_out)
        assert latest, "without a transition there is no way back"
        if back.action is None:
            if not as_json:
                console.print("done already:", end=" ")
            _tell(latest, as_json)
            return
        named = f"v{back.out.version}"
        leaves = ("withdraws", named) if back.action == "withdraw" else ("takes out", f"{named} into quarantine")
        if not as_json:
            rows = [leaves, ("answers", f"v{back.champion.version}" if back.champion else "nothing yet")]
            if back.champion and back.champion != latest.state.champion:
                rows.append(("which falls back to", _fall_back(platform, back.champion, back.next)))
            _show(rows)
        _ask(yes, f"Roll back {platform.settings.environment}?")
        try:  # what was shown is what is done, or we look again
            entry = roll_back(
                platform.release_target, _actor(platform, who, as_of), reason, target, champion_out, latest.number
            )
        except StaleDecision:
            continue
        _tell(entry, as_json)
        _confirm(platform, entry, as_json)
        return


@command(app, "mlops -e staging promote v3", "mlops -e prod promote v3 --from staging")
def promote(
    context: typer.Context,
    model: Version,
    source: Annotated[str, typer.Option("--from", metavar="NAME", help="The environment that has the model.")] = "dev",
    as_json: Json = False,
) -> None:
    """Copy a model from another environment into this one."""
    platform: Platform = context.obj
    theirs = platform.changed({"environment": source}).models
    digest, version = theirs.resolve(model)
    platform.models.adopt(theirs, digest, version)
    if as_json:
        print_json({"model": digest, "version": version, "environment": platform.settings.environment})
        return
    done(f"v{version} ({digest[:12]}) is in {platform.settings.environment}, verified")
    suggest(f"mlops -e {platform.settings.environment} propose v{version}")


@command(release_app, "mlops release tick", "mlops -e prod release tick --json")
def tick_command(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Judge the live release: advance it, promote it, roll it back, or wait."""
    from pipelines.deployment.tick import tick
    from pipelines.deployment.transitions import Actor

    platform: Platform = context.obj
    actor = Actor("canary analysis", moment(platform, as_of))
    judged = tick(platform.problem, platform.tables, platform.predictions, platform.release_target, actor)
    if as_json:
        print_json(
            judged and {"outcome": judged.verdict.outcome, "reason": judged.verdict.reason, **_dump(judged.entry)}
        )
        return
    if judged is None:
        console.print("no release is live")
        return
    say(f"{judged.verdict.outcome.value}: {escape(judged.verdict.reason)}")
    _tell(judged.entry, as_json=False)
    _confirm(platform, judged.entry, as_json=False)


@command(release_app, "mlops release report", "mlops release report --as-of 2013-10-08 --json")
def report_command(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Compare champion and challenger of the latest release on their traffic."""
    from pipelines.deployment.comparison import compare_live, rows

    platform: Platform = context.obj
    found = compare_live(
        platform.problem, platform.tables, platform.predictions, platform.releases, moment(platform, as_of)
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(rows(platform.problem.config, found))


@command(release_app, "mlops release check", "mlops -e prod release check --json")
def check_command(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Check the environment's release file before it is merged.

    Lists all that stands against the release, and then exits with 3.
    """
    from pipelines.deployment.release_file import read_release
    from pipelines.deployment.release_rules import is_deployed

    platform: Platform = context.obj
    release = read_release(platform.settings.releases, platform.settings.environment)
    found = platform.release_target.refusals("check", release, moment(platform, as_of))
    if as_json:
        print_json({"version": release.released.version, "refusals": found})
    elif found:
        print_pairs([(NO, escape(reason)) for reason in found])
    else:
        says = "is deployed" if is_deployed(platform.releases.state(), release) else "may be released"
        done(f"v{release.released.version} {says} to {platform.settings.environment}")
    if found:
        raise typer.Exit(ExitCode.NO)


@command(release_app, "mlops release schema > release.schema.json")
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
    found = [(name, *values) for name, *values in rows]
    print_pairs([(f"  [dim]{name}[/]", escape(values[0])) for name, *values in found if len(values) == 1])
    print_pairs([(f"  [dim]{name}[/]", *map(escape, values)) for name, *values in found if len(values) > 1])


def _fall_back(platform: "Platform", champion: "Variant", fall_back: "Variant | None") -> str:
    """Return what a champion falls back to; asks of both at once whether they can be served."""
    if fall_back is None:
        return "nothing: no earlier champion that is not quarantined"
    why = platform.release_target.unservable(champion, fall_back).get(fall_back.model)
    return f"v{fall_back.version}" + (f", which cannot be served: {why}" if why else "")


def _ask(yes: bool, question: str) -> None:
    if not yes and console.is_terminal and not typer.confirm(question, err=True):
        errors.print("nothing was done")
        raise typer.Exit(ExitCode.NO)


def _actor(platform: "Platform", who: str | None, as_of: AsOf) -> "Actor":
    from pipelines.deployment.transitions import Actor

    return Actor(who or getpass.getuser(), moment(platform, as_of))


def _dump(entry: "ReleaseEntry") -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude={"state"})


def _tell(entry: "ReleaseEntry", as_json: bool) -> None:
    if as_json:
        print_json(_dump(entry))
        return
    done(f"{entry.action}: {entry.summary}")
    say(f"  [dim]transition {entry.number}, by {escape(entry.who)}[/]")


def _confirm(platform: "Platform", entry: "ReleaseEntry", as_json: bool) -> None:
    """Wait for the serving app's own word on a transition, and tell it; exits with 1 when an instance refused it."""
    from pipelines.deployment.confirmation import confirm

    found = confirm(platform.release_target.instances, entry.number, platform.settings.confirm_seconds)
    colour = "dim" if found.is_complete else "yellow"
    say(f"  [{colour}]{escape(str(found))}[/]", errors if as_json else console)
    if found.refused:
        raise typer.Exit(ExitCode.ERROR)
