"""The commands for AWS and for clusters: render, promote, follow, cancel, and data pull."""

import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import PIPELINES
from pipelines.entrypoints.cli.app import REFUSED, AsOf, Json, app, console, moment, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.contracts.rendered import RenderedAlarm

data_app = typer.Typer(help="Data of an environment on this machine.", no_args_is_help=True)
app.add_typer(data_app, name="data")

# Continuous training has none: a workflow drains the queue, and only what it decides on costs an execution.
_SCHEDULES = {
    "feature": "cron(0 3 * * ? *)",
    "monitor": "cron(0 6 * * ? *)",
    "maintenance": "cron(0 1 ? * SUN *)",
}
_LOOK_SECONDS = 2
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="A day, in UTC.")]


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
def promote(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The version, such as v3, or the beginning of a digest.")],
    source: Annotated[str, typer.Option("--from", help="The environment that trained it.")] = "dev",
) -> None:
    """Copy a model's bytes from another environment's store into this one's, and verify them there."""
    platform: Platform = context.obj
    theirs = platform.changed({"environment": source}).models
    digest, version = theirs.resolve(model)
    platform.models.adopt(theirs, digest, version)
    console.print(f"[green]✔[/] v{version} ({digest[:12]}) is in {platform.settings.environment}, verified")
    console.print(f"  [dim]next: mlops propose v{version} -e {platform.settings.environment}[/]")


@app.command()
def follow(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(PIPELINES)}.")],
    run_id: Annotated[str, typer.Option(help="The run, as 'mlops run --on' named it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Say where a run on SageMaker or in a cluster stands, and of one that failed why, with its log (exit code 3)."""
    from pipelines.bootstrap import pipeline

    platform: Platform = context.obj
    ask = partial(platform.executions.outcome, platform.runner, pipeline(name), run_id)
    while (outcome := ask()).status == "executing" and wait:
        time.sleep(_LOOK_SECONDS)
    if as_json:
        print_json(outcome._asdict())
    else:
        because = f", {outcome.reason}" if outcome.reason else ""
        for line in (f"{run_id}: {outcome.status}{because}", *outcome.log):
            console.print(line, markup=False, soft_wrap=True)
    if outcome.status == "failed":
        raise typer.Exit(REFUSED)


@app.command()
def cancel(
    context: typer.Context, run_id: Annotated[str, typer.Option(help="The run, as 'mlops run --on' named it.")]
) -> None:
    """Stop a run on SageMaker or in a cluster; the steps that are done stay done, and the run can be resumed."""
    platform: Platform = context.obj
    platform.executions.cancel(run_id)
    console.print(f"[green]✔[/] {run_id} is stopped", soft_wrap=True)


@data_app.command()
def pull(
    context: typer.Context,
    start: Day,
    end: Day,
    sample: Annotated[float, typer.Option(min=0.001, max=1, help="The share of the entities' rows to bring.")] = 0.1,
    into: Annotated[Path, typer.Option(help="The embedded home that takes them.")] = Path(".ratchet"),
) -> None:
    """Bring the raw rows of some days to this machine, or a share of them, to work on without the cloud."""
    from pipelines.feature.sampling import pull_sample

    platform: Platform = context.obj
    here = platform.changed({"profile": "embedded", "home": into})
    for table, rows in pull_sample(platform.problem, platform.tables, here.tables, start, end, sample).items():
        console.print(f"[green]✔[/] {table}: {rows:,} rows")


@data_app.command()
def frame(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(help="The Parquet file to write, for a notebook.", dir_okay=False)],
    as_of: AsOf = None,
) -> None:
    """Write the training frame of a moment: labelled requests, each with the features that were known then."""
    import pyarrow.parquet as pq

    from pipelines.training.extract import training_frame

    platform: Platform = context.obj
    rows = training_frame(platform.problem, platform.tables, platform.lookup, moment(platform, as_of))
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.part")
    pq.write_table(rows, part)
    part.replace(output)
    console.print(f"[green]✔[/] {output}: {rows.num_rows:,} rows, {rows.num_columns} columns", soft_wrap=True)
