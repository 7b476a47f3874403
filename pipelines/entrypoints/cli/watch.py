"""The commands that watch a model while it serves: monitor, watch."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import REFUSED, AsOf, Json, app, console, moment, print_json
from pipelines.entrypoints.cli.runs import RunId

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.entrypoints.watch.app import WatchApp
    from pipelines.monitor import MonitorReport
    from pipelines.settings import Settings


@app.command()
def monitor(
    context: typer.Context,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit with 0 when there are alarms, or no champion yet: for a clock.")
    ] = False,
    as_of: AsOf = None,
    run_id: RunId = None,
    as_json: Json = False,
) -> None:
    """Measure the champion on the labels known by now, and raise the alarms that are due (exit code 3)."""
    from pipelines.monitor import MonitorParams

    platform: Platform = context.obj
    if exit_zero and platform.releases.state().champion is None:
        console.print(f"there is no champion in {platform.settings.environment} to monitor yet")
        return
    report: MonitorReport = platform.run("monitor", MonitorParams(as_of=moment(platform, as_of)), run_id)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        measured = report.measured
        console.print(f"v{measured.version}: {measured.predictions:,} predictions, {measured.labels:,} labels")
        for name, value in measured.quality.items():
            told = "too few labels to tell" if math.isnan(value) else f"{value:+.4f}"
            console.print(f"  {name:<22} {told}")
        for alarm in report.alarms:
            asks = "asks for a new model" if alarm.retrain else "a new model would not help"
            console.print(f"[red]✘[/] {alarm.name}: {alarm.reason} [dim]({asks})[/]")
    if report.alarms and not exit_zero:
        raise typer.Exit(REFUSED)


@app.command()
def watch(
    context: typer.Context,
    token_file: Annotated[Path, typer.Option(exists=True, help="A file with the token that Alertmanager shows.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Watch the environment: a release tick each minute, /metrics for Prometheus, /alerts for Alertmanager."""
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
    from pipelines.entrypoints.watch.metrics import Stores

    platform = Platform(settings.changed({"attempts": 3}))

    def judge() -> object:
        actor = Actor("canary analysis", platform.settings.now())
        return tick(platform.problem, platform.tables, platform.predictions, platform.releases, actor)

    stores = Stores(platform.objects, platform.events, settings.environment, platform.settings.now)
    return WatchApp(stores, platform.events, platform.objects, settings.environment, token, judge)
