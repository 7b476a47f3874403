"""The commands that bring data of an environment to this machine: data pull, data frame."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, command, group, moment
from pipelines.entrypoints.cli.terminal import done, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

data_app = group("data", "Bring raw rows or a training frame to this machine.")

Day = Annotated[datetime, typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="A day in UTC; --end is exclusive.")]


@command(
    data_app,
    "mlops data frame frame.parquet",
    "mlops data frame frame.parquet --as-of 2013-09-01",
)
def frame(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.", dir_okay=False)],
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Write the training frame for a notebook.

    It holds the labelled requests of the training periods, each with the features known at its own time.
    """
    import pyarrow.parquet as pq

    from pipelines.training.extract import training_frame

    platform: Platform = context.obj
    rows = training_frame(platform.problem, platform.tables, platform.lookup, moment(platform, as_of))
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.part")
    pq.write_table(rows, part)
    part.replace(output)
    if as_json:
        print_json({"output": str(output), "rows": rows.num_rows, "columns": rows.column_names})
    else:
        done(f"{output}: {rows.num_rows:,} rows, {rows.num_columns} columns")


@command(
    data_app,
    "mlops -e prod data pull --start 2013-03-01 --end 2013-03-08",
    "mlops data pull --start 2013-03-01 --end 2013-03-02 --sample 1",
)
def pull(
    context: typer.Context,
    start: Day,
    end: Day,
    sample: Annotated[
        float, typer.Option(min=0.001, max=1, metavar="SHARE", help="Share of the entities' rows.")
    ] = 0.1,
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="The embedded home to write to.")] = Path(".ratchet"),
    as_json: Json = False,
) -> None:
    """Copy raw rows of some days, or a sample, to work without the cloud."""
    from pipelines.feature.sampling import pull_sample

    platform: Platform = context.obj
    here = platform.changed({"profile": "embedded", "home": into})
    pulled = dict(pull_sample(platform.problem, platform.tables, here.tables, start, end, sample))
    if as_json:
        print_json(pulled)
        return
    for table, rows in pulled.items():
        done(f"{table}: {rows:,} rows")
