"""What only workflows call: workflow publish."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, command, group
from pipelines.entrypoints.cli.report import Days, delivery
from pipelines.entrypoints.cli.terminal import done

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform


workflow_app = group("workflow", "Other steps of workflows; each runs on any machine too.")


@command(workflow_app, "mlops -e prod workflow publish site/prod")
def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write.")],
    days: Days = 90,
    as_of: AsOf = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Also the report, which reads the predictions.")
    ] = True,
) -> None:
    """Write the report and the delivery metrics into a folder, to be published.

    Within a workflow the metrics go into the summary of its run too.
    """
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
    if report and platform.predictions.days():
        write_report(platform, folder / "report.html")
    done(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
