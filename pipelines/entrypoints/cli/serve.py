"""The commands that predict, or have others predict: serve, predict, export, replay."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import Json, On, Version, Where, app, command
from pipelines.entrypoints.cli.runs import placed, start_there
from pipelines.entrypoints.cli.terminal import console, done, print_json, progress, suggest

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.serving.app import ServingApp
    from pipelines.settings import Settings

Moment = Annotated[
    datetime,
    typer.Option(
        metavar="TIME", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="A day or moment in UTC; --end is exclusive."
    ),
]


@command(
    app,
    "mlops serve",
    "mlops serve --port 8081 --workers 4",
)
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that answer.")] = 1,
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Let anyone ask who reaches an address of a network.")
    ] = False,
) -> None:
    """Serve the champion over HTTP.

    It answers /invocations, /ping, /live, /ready, /openapi.json and /metrics, and follows the release log: a new
    release is served without a restart.

    Whoever reaches this machine itself may ask. On an address of a network, name a file of callers by RATCHET_CALLERS,
    or say --anyone, where something before the app lets in only who may.
    """
    from pipelines.config import WrongUsage, load_toml
    from pipelines.contracts.callers import CallersFile
    from pipelines.serving.server import is_local, refuse_busy, serve

    platform: Platform = context.obj
    if platform.settings.callers:
        load_toml(platform.settings.callers, CallersFile)  # what is wrong with it is told before a worker starts
    elif not anyone and not is_local(host):
        told = "give RATCHET_CALLERS, a file that 'mlops token' makes, or --anyone"
        raise WrongUsage(f"--host {host} is reached over the network, and nothing says who may ask; {told}")
    refuse_busy(host, port)
    _ = platform.problem.features  # a problem that does not load is told before a worker starts
    champion = platform.releases.state().champion
    serves = f"v{champion.version}" if champion else "no release yet"
    console.print(f"{platform.settings.environment} serves {serves} on http://{host}:{port}  [dim]Ctrl-C stops it[/]")
    settings = platform.settings
    limits = settings.max_connections, settings.max_connections_per_peer
    serve(partial(_serving_app, settings), host, port, workers, *limits)


@command(app, "mlops token checkout --callers callers.toml", "mlops token checkout --callers callers.toml --rate 50")
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will ask: small letters, digits, hyphens.")],
    callers: Annotated[Path, typer.Option(metavar="FILE", help="The file of callers; RATCHET_CALLERS names it.")],
    rate: Annotated[
        float | None, typer.Option(min=0.01, metavar="N", help="Requests a second of each process. Default: no limit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a caller ask the serving app.

    Prints the caller's new token, which is kept nowhere, and writes its SHA-256 into the file. The caller sends it as
    the header 'Authorization: Bearer TOKEN'. A running app reads the file again when it changes.
    """
    from pipelines.serving.callers import new_caller

    made = new_caller(callers, name, rate)
    if as_json:
        print_json({"caller": name, "token": made, "callers": str(callers)})
        return
    typer.echo(made)


@command(
    app,
    "mlops predict --input requests.csv --output predictions.csv",
    "mlops predict --as-of 2013-09-01 --output day.parquet --model v3",
    "mlops predict --on aws --as-of 2013-09-01",
)
def predict(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The .csv or .parquet file to write.")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="Requests, one a row: a .csv or .parquet file.")
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="Predict for the requests of this day in UTC instead."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="VERSION", help="Such as v3. Default: the champion.")] = None,
    on: On = Where.HERE,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Write what this run elsewhere predicted to --output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict for a file or a day of requests.

    Each request gets the features known at its own time; a killed run resumes where it stopped. With --on, a job there
    predicts for a day; --run-id then brings what it predicted.
    """
    from pipelines.batch.pipeline import bring, chosen
    from pipelines.batch.predict import predict as predict_batch
    from pipelines.batch.requests import of_day, of_file
    from pipelines.config import WrongUsage

    platform: Platform = placed(context.obj, on)
    if on is not Where.HERE and not run_id:
        _start_batch(platform, on, as_of, model, as_json)
        return
    if output is None:
        raise WrongUsage("give --output FILE, a .csv or .parquet file")
    if run_id:
        rows = bring(platform.runner, run_id, output)
        if as_json:
            print_json({"output": str(output), "run_id": run_id, "rows": rows})
        else:
            done(f"{rows:,} predictions of {run_id} in {output}")
        return
    if (input_file is None) == (as_of is None):
        raise WrongUsage("give either --input FILE or --as-of DATE, not both and not neither")
    if input_file is not None:
        requests = of_file(platform.problem, input_file)
    else:
        assert as_of, "one of the two is given"
        requests = of_day(platform.problem, platform.tables, as_of.replace(tzinfo=UTC))
    variant = chosen(platform.models, platform.releases, model)
    with progress("Predicting", requests.rows) as advance:
        ended = predict_batch(platform.problem, platform.tables, platform.models, variant, requests, output, advance)
    if as_json:
        print_json({"output": str(output), **variant.model_dump(mode="json"), **ended._asdict()})
        return
    resumed = f", {ended.resumed:,} of them from the run before" if ended.resumed else ""
    done(f"{ended.rows:,} predictions of v{variant.version}{resumed} in {output}")


@command(app, "mlops export v3 --output exported/v3")
def export(
    context: typer.Context,
    model: Version,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new folder to write.")],
    as_json: Json = False,
) -> None:
    """Write a model and its card for use with ONNX Runtime alone."""
    from pipelines.batch.pipeline import chosen
    from pipelines.reporting.export import export as export_model

    platform: Platform = context.obj
    schema = export_model(platform.models, chosen(platform.models, platform.releases, model), output)
    if as_json:
        print_json({"output": str(output), "schema": schema})
        return
    inputs, example = len(schema["inputs"]), schema["example"]["prediction"]
    told = f"v{schema['version']} takes {inputs} inputs and predicts {example:.6f} for its example"
    done(f"{output}: {told}")


@command(
    app,
    "mlops replay --start 2013-09-01 --end 2013-09-02 --url http://localhost:8080",
    "mlops replay --start 2013-09-01 --end 2013-09-02 --rate 50",
)
def replay(
    context: typer.Context,
    start: Moment,
    end: Moment,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The running app. Default: the endpoint on SageMaker.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, metavar="N", help="Requests a second at most. Default: no limit.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Rows in each request.")] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="Holds the token that the app wants."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send recorded requests to a running app, with their own times."""
    from pipelines.config import UserError
    from pipelines.serving.client import ServingClient
    from pipelines.serving.replay import recorded
    from pipelines.serving.replay import replay as replay_rows

    platform: Platform = context.obj
    token = token_file.read_text(encoding="utf-8").strip() if token_file else None
    client = ServingClient(url, token) if url else platform.aws.endpoint
    if client is None:
        raise UserError(f"{platform.settings.environment!r} has no SageMaker endpoint; give the app's --url")
    rows = recorded(platform.problem, platform.tables, start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    with progress("Replaying", rows.num_rows) as advance:
        ended = replay_rows(client, rows, batch, rate, advance)
    if as_json:
        print_json({**ended._asdict(), "failure": client.failure})
    else:
        done(f"{ended.predictions:,} predictions from {ended.requests:,} requests in {ended.seconds:.1f} s")
        console.print(f"  latency p50 {ended.p50:.1f} ms, p95 {ended.p95:.1f} ms, p99 {ended.p99:.1f} ms")
    if ended.failed:
        raise UserError(f"{ended.failed:,} of {ended.requests:,} requests failed, the last one by {client.failure}")


def _serving_app(settings: "Settings") -> "ServingApp":
    """Return the app of one worker process, which opens its own stores."""
    from pipelines.bootstrap import Platform
    from pipelines.serving.app import ServingApp
    from pipelines.serving.instances import Announcer
    from pipelines.serving.service import PredictionService
    from pipelines.storage.prediction_log import LogWriter

    platform = Platform(settings.changed({"attempts": 3}))  # what waits in memory is written by the next flush
    flush = settings.flush_seconds, settings.flush_rows
    writer = LogWriter(platform.objects, settings.environment, *flush, settings.spill)
    service = PredictionService(platform.problem, platform.online, platform.models, platform.releases, writer, settings)
    announcer = Announcer(platform.objects, settings.environment, code=platform.code.label)
    push = platform.profile.push_metrics
    return ServingApp(service, settings, announcer, push(service.metrics.registry) if push else None)


def _start_batch(platform: "Platform", on: Where, day: datetime | None, model: str | None, as_json: bool) -> None:
    """Start the batch pipeline for a day on SageMaker, or in the cluster."""
    from pipelines.batch.pipeline import BatchParams
    from pipelines.bootstrap import pipeline
    from pipelines.config import WrongUsage

    if day is None:
        raise WrongUsage(f"with --on {on} give --as-of DATE: a file of requests is on this machine")
    batch = pipeline("batch")
    run_id = platform.runner.start(batch, BatchParams(as_of=day.replace(tzinfo=UTC), model=model))
    start_there(platform, batch, run_id, as_json)
    if not as_json:
        suggest(f"mlops predict --on {on} --run-id {run_id} --output FILE, when it has ended")
