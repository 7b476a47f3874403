"""What only workflows call: publish."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, app, console
from pipelines.entrypoints.cli.report import Days, delivery

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform


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
    rows = "".join(f"| {name} | {text} |\n" for name, text in told(delivery(platform, days, as_of)).items())
    text = f"## Delivery of models to {environment}, {days} days\n\n| | |\n|---|---|\n{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "delivery.md").write_text(text, encoding="utf-8")
    if summary := step_summary():
        with summary.open("a", encoding="utf-8") as file:
            file.write(text)
    if platform.predictions.days():
        write_report(platform, folder / "report.html")
    console.print(f"[green]✔[/] {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
