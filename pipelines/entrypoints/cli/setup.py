"""The commands for a repository and its environments: demo, doctor, render, recover."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines import PIPELINES
from pipelines.entrypoints.cli.app import AsOf, Json, app, console, moment, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.contracts.rendered import RenderedAlarm

# Continuous training has none: a workflow drains the queue, and only what it decides on costs an execution.
_SCHEDULES = {
    "feature": "cron(0 3 * * ? *)",
    "monitor": "cron(0 6 * * ? *)",
    "maintenance": "cron(0 1 ? * SUN *)",
}


@app.command()
def demo(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="A shorter replay.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo works; its earlier content is removed.")] = Path(
        ".ratchet/demo"
    ),
) -> None:
    """Watch the whole loop on the problem's own data, in about a minute."""
    from pipelines.demo.run import run_demo

    run_demo(context.obj, folder, fast, console)


@app.command()
def doctor(
    context: typer.Context,
    as_json: Json = False,
    cloud: Annotated[
        bool | None,
        typer.Option("--cloud/--no-cloud", help="Ask AWS too; by default where infra/bootstrap has a stack."),
    ] = None,
) -> None:
    """Say what is left to do in this repository, what is wrong, and which files of the engine you changed.

    On AWS: tools, credentials, region, clock, bootstrap, stacks, quotas, and the level of maturity that is reached.
    With RATCHET_PROFILE=kubernetes: kubectl, the emulator of AWS, and the cluster.
    """
    from pipelines.doctor import FindingState, examine

    platform: Platform = context.obj
    findings = examine(platform.root, platform.settings.problem, look_at_cloud=cloud)
    if platform.settings.profile == "kubernetes":
        from pipelines.doctor.cluster import examine_cluster

        findings += examine_cluster(platform)
    left = sum(finding.state is FindingState.TODO for finding in findings)
    if as_json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        marks = {FindingState.OK: "[green]✔[/]", FindingState.TODO: "[yellow]✘[/]", FindingState.NOTE: "[dim]·[/]"}
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for finding in findings:
            table.add_row(marks[finding.state], finding.check, escape(finding.says))
        console.print(table)
        console.print(f"{left} left to do (marked ✘)" if left else "nothing left to do")
    if left:
        raise typer.Exit(1)


@app.command()
def render(
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("infra/rendered"),
) -> None:
    """Write what infrastructure provisions of the pipelines: their definitions on SageMaker, schedules and alarms."""
    from pipelines.adapters.aws.definition import definition
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError
    from pipelines.contracts.rendered import Rendered, RenderedPipeline

    try:
        definitions = {name: definition(pipeline(name)) for name in PIPELINES}
    except ModuleNotFoundError as error:
        raise UserError(f"'mlops render' needs {error.name}: run 'uv sync --extra render'") from error
    made = {name: RenderedPipeline(definition=one, schedule=_SCHEDULES.get(name)) for name, one in definitions.items()}
    output.mkdir(parents=True, exist_ok=True)
    text = Rendered(pipelines=made, alarms=alarms()).model_dump_json(indent=1) + "\n"
    (output / "pipelines.json").write_text(text, encoding="utf-8")
    console.print(f"[green]✔[/] {len(made)} pipelines and their alarms in {output / 'pipelines.json'}")


def alarms() -> "dict[str, RenderedAlarm]":
    """Return the alarms on what the monitors measure, who hold it to the bounds of ``problem.toml`` themselves."""
    from monitoring.measures import ALARMS, RAISED
    from pipelines.contracts.rendered import RenderedAlarm

    return {
        name: RenderedAlarm(
            metric=RAISED,
            statistic="Maximum",
            comparison=">=",
            threshold=1,
            minutes=60,
            dimensions={"alarm": name},
            meaning=meaning,
        )
        for name, meaning in ALARMS.items()
    }


@app.command()
def recover(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Write the online store anew from the offline tables, and MLflow from the manifests; safe to run at any time.

    The online store becomes what it was after the last run of the feature pipeline, or what it was at --as-of.
    """
    from pipelines.config import UserError
    from pipelines.feature.materialise import restore
    from pipelines.reporting.history import materialised_until
    from pipelines.training.index import index

    platform: Platform = context.obj
    at = moment(platform, as_of) if as_of else materialised_until(platform.objects)
    if at is None:
        raise UserError("no run of the feature pipeline is recorded here; give --as-of, or run it: mlops run feature")
    views = restore(platform.problem, platform.tables, platform.online, at)
    index(platform.models, platform.tracking, anew=True)
    versions = len(platform.models.versions())
    if as_json:
        print_json({"as_of": at, "entities": views, "versions": versions})
        return
    for name, entities in views.items():
        console.print(f"[green]✔[/] {name}: {entities:,} entities, as of {at:%Y-%m-%d %H:%M}")
    console.print(f"[green]✔[/] {versions} model versions offered to MLflow")
