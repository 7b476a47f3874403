"""The commands that write what people read: report, delivery."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, app, command, moment
from pipelines.entrypoints.cli.terminal import console, done, print_json, print_pairs

if TYPE_CHECKING:
    from monitoring.delivery import Delivery
    from pipelines.bootstrap import Platform

Days = Annotated[int, typer.Option(min=1, metavar="N", help="How many days to look back.")]


@command(app, "mlops report", "mlops -e prod report --output prod.html")
def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write.")] = Path(
        "report.html"
    ),
    as_json: Json = False,
) -> None:
    """Write a page on quality, drift, decisions and delivery.

    It shows quality over time, drift, calibration, decisions, delivery metrics and lineage.
    """
    from pipelines.reporting.report import write_report

    with console.status("[dim]report[/]"):
        write_report(context.obj, output)
    if as_json:
        print_json({"output": str(output)})
    else:
        done(str(output))


@command(app, "mlops delivery", "mlops -e prod delivery --days 30 --json")
def delivery_command(context: typer.Context, days: Days = 90, as_of: AsOf = None, as_json: Json = False) -> None:
    """Show deployments, lead time, failures and time to restore."""
    from monitoring.delivery import told

    metrics = delivery(context.obj, days, as_of)
    if as_json:
        print_json(metrics.model_dump(mode="json"))
        return
    console.print(f"{metrics.start:%Y-%m-%d} to {metrics.end:%Y-%m-%d}", style="dim")
    print_pairs(list(told(metrics).items()))


def delivery(platform: "Platform", days: int, as_of: AsOf) -> "Delivery":
    """Return the delivery metrics of the days before a moment."""
    from pipelines.reporting.history import delivered

    end = moment(platform, as_of)
    return delivered(platform.releases, platform.models, platform.root, end - timedelta(days=days), end)
