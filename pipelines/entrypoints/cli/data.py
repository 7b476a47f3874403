"""The commands for data of an environment on this machine: data pull, data frame."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, app, console, moment

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

data_app = typer.Typer(help="Data of an environment on this machine.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="A day, in UTC.")]


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
