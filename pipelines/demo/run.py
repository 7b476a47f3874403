"""The demo from beginning to end."""

import shutil
import time
from pathlib import Path

from rich.console import Console

from pipelines.bootstrap import Platform
from pipelines.config import UserError
from pipelines.demo.app import running_app
from pipelines.demo.replay import Replay
from pipelines.demo.story import Story
from pipelines.demo.worker import running_worker

_MARK = ".demo"


def run_demo(outer: Platform, folder: Path, fast: bool, console: Console) -> None:
    """Replay the problem's data in a folder of its own, and end with a table and the path of the report."""
    began = time.perf_counter()
    home = _empty(folder)
    settings = outer.settings.model_copy(
        update={"home": home, "releases": home / "releases", "poll_seconds": 0.05, "flush_seconds": 0.1}
    )
    platform, story = Platform(settings, outer.root), Story(console)
    with (
        running_worker(settings, outer.root, home / "feature.log") as data,
        running_worker(settings, outer.root, home / "training.log") as models,
        running_app(settings, home / "serving.log") as app,
    ):
        data.load("pipelines.feature.pipeline", "pyiceberg.catalog.sql")
        models.prepare_training()
        story.open(platform.problem.config)
        replay = Replay(platform, app, data, models, story, fast)
        story.chapter("1  Learn from history")
        replay.learn()
        story.chapter("2  A worse model comes along")
        replay.try_worse_model()
        story.chapter("3  Serve, day after day", "By HTTP, hour by hour, while labels come in late.")
        replay.serve()
        story.chapter("4  Look back")
        app.wait_for_log()
        report = home / "report.html"
        with story.progress("Writing the report", 1):
            summary = data.report(report).result()
    story.look_back(summary, app, time.perf_counter() - began)
    shown = folder if not folder.is_absolute() else home
    console.print(f"\nThe report: [bold]{shown / 'report.html'}[/]", soft_wrap=True)
    console.print(
        f"Look around: [bold]uv run mlops --home {shown} status[/]  [dim](or explain v3, lineage v1, report)[/]",
        soft_wrap=True,
    )
    if app.failed:
        raise UserError(f"{app.failed} requests failed, which must not happen; see {shown / 'serving.log'}")


def _empty(folder: Path) -> Path:
    """Return the demo's folder, emptied; a folder that is not the demo's is left alone."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise UserError(f"{folder} holds something that is not an earlier demo; choose another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    return folder.resolve()
