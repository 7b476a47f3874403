"""The commands that write what people read: report, delivery, publish."""

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

    metrics = _delivery(context.obj, days, as_of)
    if as_json:
        print_json(metrics.model_dump(mode="json"))
        return
    table = Table(f"{metrics.start:%Y-%m-%d} to {metrics.end:%Y-%m-%d}", "", box=None, header_style="dim")
    for name, text in told(metrics).items():
        table.add_row(name, text)
    console.print(table)


@app.command()
def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder to write, one for each environment.")],
    days: Days = 90,
    as_of: AsOf = None,
) -> None:
    """Write the report and the delivery metrics into a folder, the metrics also into a workflow run's summary."""
    from monitoring.delivery import told
    from pipelines.reporting.report import write_report
    from pipelines.settings import step_summary

    platform: Platform = context.obj
    environment = platform.settings.environment
    rows = "".join(f"| {name} | {text} |\n" for name, text in told(_delivery(platform, days, as_of)).items())
    text = f"## Delivery of models to {environment}, {days} days\n\n| | |\n|---|---|\n{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "delivery.md").write_text(text, encoding="utf-8")
    if summary := step_summary():
        with summary.open("a", encoding="utf-8") as file:
            file.write(text)
    if platform.predictions.days():
        write_report(platform, folder / "report.html")
    console.print(f"[green]✔[/] {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _delivery(platform: "Platform", days: int, as_of: AsOf) -> "Delivery":
    from pipelines.reporting.history import delivered

    end = moment(platform, as_of)
    return delivered(platform.releases, platform.models, platform.root, end - timedelta(days=days), end)
