"""The commands that use a model outside the serving app, or ask the app: predict, export, replay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import Json, On, Where, app, console, print_json
from pipelines.entrypoints.cli.work import placed, start_there

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Predict for the request table's rows of this UTC day.")
]


@app.command()
def predict(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write: a .csv or .parquet file.")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", "-i", help="A .csv or .parquet file of requests, one a row.")
    ] = None,
    as_of: Day = None,
    model: Annotated[str | None, typer.Option(help="A version, such as v3. Default: the champion.")] = None,
    on: On = Where.HERE,
    run_id: Annotated[str | None, typer.Option(help="Write what this run elsewhere predicted.")] = None,
    as_json: Json = False,
) -> None:
    """Predict for many requests at once, each with the features of its own moment; resumes when it was killed.

    With --on aws or kubernetes a job there predicts for a day; --run-id then brings what it predicted.
    """
    from pipelines.batch.pipeline import bring, chosen
    from pipelines.batch.predict import predict as predict_batch
    from pipelines.batch.requests import of_day, of_file
    from pipelines.config import UserError

    platform: Platform = placed(context.obj, on)
    if on is not Where.HERE and not run_id:
        _start_batch(platform, on, as_of, model, as_json)
        return
    if output is None:
        raise UserError("give --output FILE, a .csv or .parquet")
    if run_id:
        rows = bring(platform.runner, run_id, output)
        console.print(f"[green]✔[/] {rows:,} predictions of {run_id} in {output}", soft_wrap=True)
        return
    if (input_file is None) == (as_of is None):
        raise UserError("give either --input FILE or --as-of DATE, not both and not neither")
    if input_file is not None:
        requests = of_file(platform.problem, input_file)
    else:
        assert as_of, "one of the two is given"
        requests = of_day(platform.problem, platform.tables, as_of.replace(tzinfo=UTC))
    variant = chosen(platform.models, platform.releases, model)
    with _progress("Predicting", requests.rows) as advance:
        done = predict_batch(platform.problem, platform.tables, platform.models, variant, requests, output, advance)
    if as_json:
        print_json({"output": str(output), **variant.model_dump(mode="json"), **done._asdict()})
        return
    resumed = f", {done.resumed:,} of them from the run before" if done.resumed else ""
    console.print(f"[green]✔[/] {done.rows:,} predictions of v{variant.version}{resumed} in {output}", soft_wrap=True)


@app.command()
def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The version, such as v3, or the beginning of a digest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write, which may not exist yet.")],
    as_json: Json = False,
) -> None:
    """Write a model with its schema and its card into a folder, to be scored by ONNX Runtime alone."""
    from pipelines.batch.pipeline import chosen
    from pipelines.reporting.export import export as export_model

    platform: Platform = context.obj
    schema = export_model(platform.models, chosen(platform.models, platform.releases, model), output)
    if as_json:
        print_json({"output": str(output), "schema": schema})
        return
    inputs, example = len(schema["inputs"]), schema["example"]["prediction"]
    told = f"v{schema['version']} takes {inputs} inputs and predicts {example:.6f} for its example"
    console.print(f"[green]✔[/] {output}: {told}", soft_wrap=True)


@app.command()
def replay(
    context: typer.Context,
    start: Annotated[datetime, typer.Option(formats=MOMENTS, help="The first moment, in UTC.")],
    end: Annotated[datetime, typer.Option(formats=MOMENTS, help="The moment to end before, in UTC.")],
    url: Annotated[
        str | None,
        typer.Option(help="The running app, such as http://localhost:8080. Default: the endpoint on SageMaker."),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Requests a second at most. Default: no limit.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows in each request.")] = 1,
    as_json: Json = False,
) -> None:
    """Send recorded requests of the request table to a running app, their event times kept."""
    from pipelines.config import UserError
    from pipelines.serving.client import ServingClient
    from pipelines.serving.replay import recorded
    from pipelines.serving.replay import replay as replay_rows

    platform: Platform = context.obj
    client = ServingClient(url) if url else platform.aws.endpoint
    if client is None:
        raise UserError(f"{platform.settings.environment!r} has no SageMaker endpoint; give the app's --url")
    rows = recorded(platform.problem, platform.tables, start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    with _progress("Replaying", rows.num_rows) as advance:
        done = replay_rows(client, rows, batch, rate, advance)
    if as_json:
        print_json({**done._asdict(), "failure": client.failure})
    else:
        told = f"{done.predictions:,} predictions from {done.requests:,} requests in {done.seconds:.1f} s"
        console.print(f"{told}; latency p50 {done.p50:.1f} ms, p95 {done.p95:.1f} ms, p99 {done.p99:.1f} ms")
    if done.failed:
        raise UserError(f"{done.failed:,} of {done.requests:,} requests failed, the last one by {client.failure}")


def _start_batch(platform: "Platform", on: Where, day: datetime | None, model: str | None, as_json: bool) -> None:
    """Start the batch pipeline for a day on SageMaker, or in the cluster."""
    from pipelines.batch.pipeline import BatchParams
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError

    if day is None:
        raise UserError(f"on {on} give --as-of DATE: a file of requests is on this machine")
    batch = pipeline("batch")
    run_id = platform.runner.start(batch, BatchParams(as_of=day.replace(tzinfo=UTC), model=model))
    start_there(platform, batch, run_id, as_json)
    if not as_json:
        console.print(f"  [dim]then: mlops predict --on {on} --run-id {run_id} --output FILE[/]", soft_wrap=True)


@contextmanager
def _progress(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how many rows are done, where there is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=total)
        yield lambda rows: progress.advance(task, rows)
