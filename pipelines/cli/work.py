"""The commands that do work: demo, run, train, step, monitor, serve."""

import getpass
import math
import os
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines import PIPELINES
from pipelines.cli.app import REFUSED, AsOf, Json, On, app, console, moment, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.monitor import MonitorReport
    from pipelines.serving.app import App
    from pipelines.settings import Settings
    from pipelines.spec import Pipeline

Processes = Annotated[int, typer.Option(min=1, help="Processes of this machine that train a network together.")]
RunId = Annotated[str | None, typer.Option(help="Resume this run, or start one under this id.")]


@app.command()
def demo(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="A shorter replay.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo works; its earlier content is removed.")] = Path(
        ".ratchet/demo"
    ),
) -> None:
    """Watch the whole loop on the problem's own data, in about a minute."""
    from pipelines.demo.run import run_demo

    run_demo(context.obj, folder, fast, console)


@app.command()
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(PIPELINES)}.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the pipeline.")
    ] = None,
    run_id: RunId = None,
    on: On = "here",
    as_json: Json = False,
) -> None:
    """Run a pipeline to its end, or resume a run that was killed: give its --run-id and nothing else.

    Parameters: start, end and online_as_of of feature; as_of, reason and estimators of training and search; as_of and
    manual of continuous_training; as_of of monitor; as_of and model of batch; none of maintenance.
    Moments are days or ISO times in UTC; as_of is now unless given.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.starting import parameters

    platform, chosen = placed(context.obj, on), pipeline(name)
    if not (run_id and not settings and platform.runner.exists(chosen, run_id)):  # else it has its parameters already
        run_id = platform.runner.start(chosen, parameters(chosen.params, settings or []), run_id)
    if on == "aws":
        start_there(platform, chosen, run_id, as_json)
        return
    times: dict[str, float] = {}

    def observe(step: str, event: str) -> None:
        if event == "started":
            times[step] = time.perf_counter()
        elif not as_json:
            told = "resumed, done already" if event == "resumed" else f"{time.perf_counter() - times[step]:.1f} s"
            console.print(f"  [green]✔[/] {step} [dim]{told}[/]")

    if not as_json:
        console.print(f"[bold]{name}[/] {run_id}")
    output = platform.runner.run(chosen, run_id, observe)
    tell(platform, run_id, output, as_json)


@app.command()
def train(
    context: typer.Context,
    as_of: AsOf = None,
    estimator: Annotated[
        list[str] | None, typer.Option(help="An estimator to train instead of those of problem.toml; may be repeated.")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Write a trace and a summary of where time goes.")] = False,
    processes: Processes = 1,
    run_id: RunId = None,
    as_json: Json = False,
) -> None:
    """Run the training pipeline: what 'mlops run training' does, with a profile or in several processes."""
    from pipelines.bootstrap import pipeline
    from pipelines.settings import Place
    from pipelines.training import TrainingParams
    from pipelines.training.launch import meeting, torchrun

    platform: Platform = context.obj
    chosen, reason = pipeline("training"), f"started by {getpass.getuser()}"
    params = TrainingParams(as_of=moment(as_of), reason=reason, estimators=tuple(estimator or ()), profile=profile)
    if not (run_id and platform.runner.exists(chosen, run_id)):
        run_id = platform.runner.start(chosen, params, run_id)
    if processes > 1:
        platform.runner.run(chosen, run_id, before="train")
        here = Place(1, 0, "localhost")
        command = torchrun(here, processes, ["step", "training/train", "--run-id", run_id])
        subprocess.run(command, check=True, env={**meeting(here), **os.environ, **platform.settings.variables()})
    tell(platform, run_id, platform.runner.run(chosen, run_id), as_json)
    for page in sorted((platform.profiles / run_id).glob("*/summary.md")):
        console.print(f"  [dim]profile[/] {page}")


def placed(platform: "Platform", on: str) -> "Platform":
    """Return the platform of the place that ``--on`` names."""
    from pipelines.spec import UserError

    if on not in ("here", "aws"):
        raise UserError(f"--on {on}: write here or aws")
    return platform.changed({"profile": "aws"}) if on == "aws" else platform


def start_there(platform: "Platform", chosen: "Pipeline", run_id: str, as_json: bool) -> None:
    """Start a recorded run on SageMaker, and say how to follow it."""
    from pipelines.starting import start_on_aws

    execution = start_on_aws(platform, chosen, run_id)
    if as_json:
        print_json({"run_id": run_id, "execution": execution})
        return
    console.print(f"[green]✔[/] started {run_id} on SageMaker", soft_wrap=True)
    console.print(f"  [dim]next: mlops follow {chosen.name} --run-id {run_id}[/]", soft_wrap=True)


@app.command()
def step(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="PIPELINE/STEP")],
    run_id: Annotated[str, typer.Option(help="The run the step belongs to; 'mlops run' or another step started it.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, to start a new run.")
    ] = None,
    execution: Annotated[
        str | None, typer.Option(help="Who asks on SageMaker; with --run-id scheduled it names the run.")
    ] = None,
    processes: Processes = 1,
) -> None:
    """Run one step of a run: what the local runner, a Kubernetes Job and a SageMaker step all call.

    With --processes, or on several machines that train together, torchrun starts the step in each process.
    """
    from pipelines.settings import place, rank
    from pipelines.starting import parameters, scheduled, step_of
    from pipelines.training.launch import meeting, torchrun

    platform: Platform = context.obj
    chosen, step_name = step_of(which)  # an unknown step is an error before anything starts
    if settings:
        platform.runner.start(chosen, parameters(chosen.params, settings), run_id)
    run_id = scheduled(platform, chosen, run_id, execution)
    here = place(platform.settings)
    if rank() is None and (processes > 1 or here.machines > 1):
        command = torchrun(here, processes, ["step", which, "--run-id", run_id])
        environ = {**meeting(here), **os.environ, **platform.settings.variables()}
        os.execve(command[0], command, environ)  # noqa: S606  (it takes signals)
    record = platform.runner.step(chosen, step_name, run_id)
    seconds = (record.ended - record.started).total_seconds()
    if not rank():
        console.print(f"[green]✔[/] {which} [dim]{seconds:.1f} s, {', '.join(record.outputs)}[/]")


@app.command()
def monitor(context: typer.Context, as_of: AsOf = None, run_id: RunId = None, as_json: Json = False) -> None:
    """Measure the champion on the labels known by now, and raise the alarms that are due (exit code 3)."""
    from pipelines.monitor import MonitorParams

    report: MonitorReport = context.obj.run("monitor", MonitorParams(as_of=moment(as_of)), run_id)
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
    if report.alarms:
        raise typer.Exit(REFUSED)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer; each follows the release log.")] = 1,
) -> None:
    """Run the serving app: /ping, /invocations, /openapi.json, /metrics."""
    from pipelines.serving.server import serve

    platform: Platform = context.obj
    _ = platform.problem.features  # a problem that does not load is told before a worker starts
    champion = platform.releases.state().champion
    serves = f"v{champion.version}" if champion else "no release yet"
    console.print(
        f"[bold]{platform.settings.environment}[/] serves {serves} on http://{host}:{port}  [dim]Ctrl-C stops it[/]"
    )
    serve(partial(_serving_app, platform.settings), host, port, workers)


def _serving_app(settings: "Settings") -> "App":
    """Return the app of one worker process, which opens its own stores."""
    from pipelines.bootstrap import Platform
    from pipelines.serving.app import App
    from pipelines.serving.log import LogWriter
    from pipelines.serving.service import Service

    platform = Platform(settings.changed({"attempts": 3}))  # what waits in memory is written by the next flush
    writer = LogWriter(platform.objects, settings.environment, settings.flush_seconds, settings.flush_rows)
    service = Service(platform.problem, platform.online, platform.models, platform.releases, writer, settings)
    return App(service, settings, platform.profile.watch(service.metrics.registry))


def tell(platform: "Platform", run_id: str, output: Any, as_json: bool) -> None:
    """Print what a run came to; exits with 3 for a candidate that was refused."""
    from pipelines.spec import Strict

    document = output.model_dump(mode="json") if isinstance(output, Strict) else {}
    if as_json:
        print_json({"run_id": run_id, "output": document})
    elif document:
        _list(document)
    if document.get("model") and "accepted" in document:
        _tell_candidate(platform, document, as_json)


def _tell_candidate(platform: "Platform", document: dict[str, Any], as_json: bool) -> None:
    """Say what the gates said of a candidate, and what to do next; a refusal has an exit code of its own."""
    if not as_json:
        for gate in platform.models.manifest(document["model"]).gates:
            if not gate.passed:
                console.print(f"  [red]✘[/] {gate.gate}: {gate.reason}")
        next_command = f"propose v{document['version']}" if document["accepted"] else f"explain v{document['version']}"
        console.print(f"  [dim]next: mlops {next_command}[/]")
    if not document["accepted"]:
        raise typer.Exit(REFUSED)


def _list(document: dict[str, Any], indent: str = "  ") -> None:
    for name, value in document.items():
        if isinstance(value, dict):
            console.print(f"{indent}[dim]{name}[/]")
            _list(value, indent + "  ")
        elif value not in (None, [], ""):
            console.print(f"{indent}[dim]{name}[/]", end=" ")
            console.print(value, markup=False)
