"""The commands that watch a model while it serves: monitor, watch."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import AsOf, Json, app, command, moment
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.runs import RunId
from pipelines.entrypoints.cli.terminal import NO, NOTE, console, print_json, print_pairs

if TYPE_CHECKING:
    from monitoring.alarms import Measurements
    from pipelines.bootstrap import Platform
    from pipelines.entrypoints.watch.app import WatchApp
    from pipelines.monitor import MonitorReport
    from pipelines.settings import Settings


@command(
    app,
    "mlops monitor",
    "mlops monitor --html monitor",
    "mlops monitor --as-of 2013-09-04 --json",
)
def monitor(
    context: typer.Context,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 after alarms too.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write pages too, evidently's among them: index.html.")
    ] = None,
    as_of: AsOf = None,
    run_id: RunId = None,
    as_json: Json = False,
) -> None:
    """Measure the champion's quality and drift, and raise alarms.

    Quality is measured on the labels known by --as-of. Alarms make the exit code 3. With --html it writes pages for
    people: what was measured, and evidently's, for which 'uv sync --inexact --extra monitoring' installs evidently.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.monitor import MonitorParams

    platform: Platform = context.obj
    params = MonitorParams(as_of=moment(platform, as_of))
    run_id = platform.runner.start(pipeline("monitor"), params, run_id)
    report: MonitorReport = platform.run("monitor", params, run_id)
    if html:
        from pipelines.reporting.monitor_pages import write_pages

        write_pages(platform, run_id, html)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        measured = report.measured
        console.print(_judged(platform, measured))
        quality = measured.quality.items()
        told = [(name, "too few labels" if math.isnan(value) else f"{value:+.4f}") for name, value in quality]
        print_pairs([(f"  {name}", value) for name, value in told])
        asks = {True: "asks for a new model", False: "a new model would not help"}
        print_pairs(
            [(f"{NO} {one.name}", f"{escape(one.reason)} [dim]({asks[one.retrain]})[/]") for one in report.alarms]
            + [
                (f"{NOTE} {one.kind}", f"{escape(one.reason)} [dim]({asks[True]})[/]")
                for one in report.triggers
                if one.kind != "alarm"
            ]
        )
    if report.alarms and not exit_zero:
        raise typer.Exit(ExitCode.NO)


def _judged(platform: "Platform", measured: "Measurements") -> str:
    """Return what the monitor saw, and what it cannot judge yet."""
    if measured.model is None:
        return f"there is no champion in {platform.settings.environment} to monitor yet"
    limit = platform.problem.config.monitoring
    said = [f"v{measured.version}: {measured.predictions:,} predictions, {measured.labels:,} labels"]
    if measured.predictions < limit.min_predictions:
        said.append(f"drift is judged from {limit.min_predictions:,} predictions on")
    if measured.labels < limit.min_labels:
        said.append(f"quality is judged from {limit.min_labels:,} labels on")
    return "; ".join(said)


@command(app, "mlops watch --token-file token.txt")
def watch(
    context: typer.Context,
    token_file: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="Holds the token that Alertmanager sends."),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.")] = 8000,
) -> None:
    """Judge the live release each minute, and take alerts.

    Serves /metrics for Prometheus and /alerts for Alertmanager.
    """
    from pipelines.config import UserError
    from pipelines.serving.server import serve

    token = token_file.read_text(encoding="utf-8").strip()
    if not token:
        raise UserError(f"{token_file} is empty: it holds the token that the sender of alerts has to show")
    serve(partial(_watching_app, context.obj.settings, token), host, port, workers=1)


def _watching_app(settings: "Settings", token: str) -> "WatchApp":
    """Return the app of the watch, whose stores answer soon or not at all."""
    from pipelines.bootstrap import Platform
    from pipelines.deployment.tick import tick
    from pipelines.deployment.transitions import Actor
    from pipelines.entrypoints.watch.app import WatchApp
    from pipelines.entrypoints.watch.metrics import WatchedStores

    platform = Platform(settings.changed({"attempts": 3}))

    def judge() -> object:
        actor = Actor("canary analysis", platform.settings.now())
        return tick(platform.problem, platform.tables, platform.predictions, platform.release_target, actor)

    stores = WatchedStores(platform.objects, platform.events, settings.environment, platform.settings.now)
    return WatchApp(stores, platform.events, platform.objects, settings.environment, token, judge)
