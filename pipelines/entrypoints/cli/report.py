"""The commands that write what people read: report, delivery."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.entrypoints.cli.app import AsOf, Json, app, console, moment, print_json

if TYPE_CHECKING:
    from monitoring.delivery import Delivery
    from pipelines.bootstrap import Platform

Days = Annotated[int, typer.Option(min=1, help="How far to look back.")]


@app.command()
def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("report.html"),
) -> None:
    """Write one page with quality over time, drift, calibration, decisions, delivery and lineage."""
    from pipelines.reporting.report import write_report

    write_report(context.obj, output)
    console.print(f"[green]✔[/] {output}")


@app.command("delivery")
def delivery_command(context: typer.Context, days: Days = 90, as_of: AsOf = None, as_json: Json = False) -> None:
    """Show how often models are deployed, how long that takes, how often it fails and how soon that is mended."""
    from monitoring.delivery import told

    metrics = delivery(context.obj, days, as_of)
    if as_json:
        print_json(metrics.model_dump(mode="json"))
        return
    table = Table(f"{metrics.start:%Y-%m-%d} to {metrics.end:%Y-%m-%d}", "", box=None, header_style="dim")
    for name, text in told(metrics).items():
        table.add_row(name, text)
    console.print(table)


def delivery(platform: "Platform", days: int, as_of: AsOf) -> "Delivery":
    """Return the delivery metrics of the days before a moment."""
    from pipelines.reporting.history import delivered

    end = moment(platform, as_of)
    return delivered(platform.releases, platform.models, platform.root, end - timedelta(days=days), end)
