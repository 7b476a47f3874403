"""The commands for a repository and its environments: demo, doctor, render, recover."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import AsOf, Json, app, command, moment
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import NOTE, OK, console, done, print_json, print_pairs
from pipelines.orchestration.catalog import PIPELINES

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform


@command(app, "mlops demo", "mlops demo --fast --folder demo")
def demo(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Replay fewer days.")] = False,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the demo works; its earlier content is removed.")
    ] = Path(".ratchet/demo"),
) -> None:
    """Watch the whole loop on real data, in about a minute."""
    from pipelines.demo.run import run_demo

    run_demo(context.obj, folder, fast, console)


@command(app, "mlops doctor", "mlops doctor --cloud", "mlops doctor --json")
def doctor(
    context: typer.Context,
    cloud: Annotated[
        bool | None,
        typer.Option("--cloud/--no-cloud", help="Ask AWS too. Default: if infra/bootstrap has a stack."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this repository, and say what is left to do.

    With --cloud: tools, credentials, region, clock, bootstrap, stacks, quotas, and the maturity that is reached. With
    RATCHET_PROFILE=kubernetes: kubectl, the emulator of AWS, and the cluster. Exits with 3 while anything is left.
    """
    from pipelines.doctor import FindingState, examine
    from pipelines.doctor.release_log import examine_release_log

    platform: Platform = context.obj
    findings = examine(platform.root, platform.settings.problem, look_at_cloud=cloud)
    if platform.settings.profile == "kubernetes":
        from pipelines.doctor.cluster import examine_cluster

        findings += examine_cluster(platform)
    if platform.settings.profile == "embedded":
        findings.append(examine_release_log(platform.releases))
    left = sum(finding.state is FindingState.TODO for finding in findings)
    if as_json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        marks = {FindingState.OK: OK, FindingState.TODO: "[yellow]✘[/]", FindingState.NOTE: NOTE}
        print_pairs([(marks[one.state], one.check, escape(one.says)) for one in findings])
        console.print(f"{left} left to do (marked ✘)" if left else "nothing left to do")
    if left:
        raise typer.Exit(ExitCode.NO)


@command(app, "mlops render", "mlops render --output rendered")
def render(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")] = Path("infra/rendered"),
) -> None:
    """Write what infrastructure provisions of the pipelines.

    Run it after a change of a pipeline's steps, a schedule or an alarm, and commit what it writes.
    """
    from pipelines.adapters.aws.definition import definition
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError
    from pipelines.contracts.rendered import Rendered, RenderedPipeline
    from pipelines.contracts.schedules import SCHEDULES
    from pipelines.monitor.alarm import rendered_alarms

    try:
        definitions = {name: definition(pipeline(name)) for name in PIPELINES}
    except ModuleNotFoundError as error:
        raise UserError(f"'mlops render' needs {error.name}: run 'uv sync --extra render'") from error
    made = {name: RenderedPipeline(definition=one, schedule=SCHEDULES.get(name)) for name, one in definitions.items()}
    output.mkdir(parents=True, exist_ok=True)
    text = Rendered(pipelines=made, alarms=rendered_alarms()).model_dump_json(indent=1) + "\n"
    (output / "pipelines.json").write_text(text, encoding="utf-8")
    done(f"{len(made)} pipelines and their alarms in {output / 'pipelines.json'}")


@command(app, "mlops backup ../backups/2026-11-27")
def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the copy.")],
    as_json: Json = False,
) -> None:
    """Copy the embedded home while it is in use, and verify the copy.

    The copy is a home of its own: 'mlops --home FOLDER status' opens it. It holds the key that signs the release log,
    so keep it as safe as the original.
    """
    from pipelines.adapters.local.backup import back_up
    from pipelines.config import UserError
    from pipelines.reporting.verification import verified

    platform: Platform = context.obj
    if platform.settings.profile != "embedded":
        raise UserError("'mlops backup' copies an embedded home; on AWS see 'Lost data' in docs/runbook.md")
    back_up(platform.settings.home.resolve(), folder.resolve())
    found = verified(platform.changed({"home": folder.resolve()}))
    if as_json:
        print_json({"folder": str(folder), **found})
        return
    done(f"{folder}: " + ", ".join(f"{count:,} {name}" for name, count in found.items()) + ", all verified")


@command(app, "mlops recover", "mlops -e prod recover --as-of 2013-09-01")
def recover(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Rebuild the catalog, the online store and MLflow after a disaster.

    Safe to run at any time. Tables whose files were restored, also to another bucket, are registered in the catalog.
    The online store becomes what it was after the last run of the feature pipeline, or at --as-of.
    """
    from pipelines.config import UserError
    from pipelines.feature.materialise import materialised_until, restore
    from pipelines.training.index import index

    platform: Platform = context.obj
    adopted = platform.tables.adopt()
    at = moment(platform, as_of) if as_of else materialised_until(platform.objects)
    if at is None:
        raise UserError("no run of the feature pipeline is recorded here; give --as-of, or run it: mlops run feature")
    views = restore(platform.problem, platform.tables, platform.online, platform.models, platform.releases, at)
    versions = len(platform.models.versions()) if platform.tracking else 0
    if platform.tracking:
        index(platform.models, platform.tracking, anew=True)
    if as_json:
        print_json({"as_of": at, "tables": adopted, "entities": views, "versions": versions})
        return
    for name in adopted:
        done(f"{name} is registered in the catalog")
    for name, entities in views.items():
        done(f"{name}: {entities:,} entities, as of {at:%Y-%m-%d %H:%M}")
    done(f"{versions} model versions offered to MLflow")
