"""The commands that do work: demo, run, train, step, monitor, serve, watch."""

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
from pipelines.entrypoints.cli.app import REFUSED, AsOf, Json, On, Where, app, console, moment, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.entrypoints.watch.app import WatchApp
    from pipelines.monitor import MonitorReport
    from pipelines.orchestration.pipeline import Pipeline
    from pipelines.serving.app import ServingApp
    from pipelines.settings import Settings

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
    on: On = Where.HERE,
    as_json: Json = False,
) -> None:
    """Run a pipeline to its end, or resume a run that was killed: give its --run-id and nothing else.

    Parameters: start, end and online_as_of of feature; as_of, reason and estimators of training and search; as_of and
    manual of continuous_training; as_of of monitor; as_of and model of batch; none of maintenance.
    Moments are days or ISO times in UTC; as_of is now unless given.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.entrypoints.launch import parameters

    platform, chosen = placed(context.obj, on), pipeline(name)
    if not (run_id and not settings and platform.runner.exists(chosen, run_id)):  # else it has its parameters already
        run_id = platform.runner.start(
            chosen, parameters(chosen.params, settings or [], platform.settings.now()), run_id
        )
    if on is not Where.HERE:
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
def drain(
    context: typer.Context,
    manual: Annotated[str, typer.Option(help="A person's own reason to train, which no cooldown holds back.")] = "",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Decide on the triggers that wait, and start the training that follows: here to its end, on AWS and return."""
    from pipelines.entrypoints.drain import drain

    platform: Platform = context.obj
    done = drain(platform, moment(platform, as_of), manual.strip() or None)
    if as_json:
        print_json(done.model_dump(mode="json"))
        return
    for line in (f"{done.run_id}: {done.says}" if done.run_id else done.says, *done.refused):
        console.print(line, markup=False, soft_wrap=True)


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
    on: Annotated[Where, typer.Option(help="here, or kubernetes: as a Job.")] = Where.HERE,
    machines: Annotated[int, typer.Option(min=1, help="Pods of a Job that train a network together.")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="Give each pod a GPU.")] = False,
    as_json: Json = False,
) -> None:
    """Run the training pipeline: what 'mlops run training' does, with a profile or in several processes or pods."""
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError
    from pipelines.settings import node
    from pipelines.training import TrainingParams
    from pipelines.training.torchrun import environ, torchrun

    platform: Platform = context.obj
    chosen, reason = pipeline("training"), f"started by {getpass.getuser()}"
    params = TrainingParams(
        as_of=moment(platform, as_of), reason=reason, estimators=tuple(estimator or ()), profile=profile
    )
    if on is Where.AWS:
        raise UserError("'mlops run training --on aws' trains on SageMaker, on what its stack states")
    platform = placed(platform, on)
    if not (run_id and platform.runner.exists(chosen, run_id)):
        run_id = platform.runner.start(chosen, params, run_id)
    if on is Where.KUBERNETES:
        start_there(platform, chosen, run_id, as_json, machines, gpu)
        return
    here = node(platform.settings)
    if processes > 1 or here.num_nodes > 1:
        if here.node_rank == 0:  # the others wait for it where they meet
            platform.runner.run(chosen, run_id, before="train")
        command = torchrun(here, processes, ["step", "training/train", "--run-id", run_id])
        subprocess.run(command, check=True, env=environ(here, platform.settings))
        if here.node_rank > 0:
            return
    tell(platform, run_id, platform.runner.run(chosen, run_id), as_json)
    for page in sorted((platform.profiles / run_id).glob("*/summary.md")):
        console.print(f"  [dim]profile[/] {page}")


def placed(platform: "Platform", on: Where) -> "Platform":
    """Return the platform of the place that ``--on`` names."""
    return platform if on is Where.HERE else platform.changed({"profile": on.value})


def start_there(
    platform: "Platform",
    chosen: "Pipeline",
    run_id: str,
    as_json: bool,
    machines: int | None = None,
    gpu: bool | None = None,
) -> None:
    """Start a recorded run where the platform is, and tell how to follow it."""
    from pipelines.entrypoints.launch import start_elsewhere

    execution = start_elsewhere(platform, chosen, run_id, machines, gpu)
    if as_json:
        print_json({"run_id": run_id, "execution": execution})
        return
    console.print(f"[green]✔[/] started {run_id} on {platform.executions.place}", soft_wrap=True)
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
    from pipelines.entrypoints.launch import parameters, scheduled, step_of
    from pipelines.settings import node, rank
    from pipelines.training.torchrun import environ, torchrun

    platform: Platform = context.obj
    chosen, step_name = step_of(which)  # an unknown step is an error before anything starts
    if settings:
        platform.runner.start(chosen, parameters(chosen.params, settings, platform.settings.now()), run_id)
    run_id = scheduled(platform, chosen, run_id, execution)
    here = node(platform.settings)
    if rank() is None and (processes > 1 or here.num_nodes > 1):
        command = torchrun(here, processes, ["step", which, "--run-id", run_id])
        os.execve(command[0], command, environ(here, platform.settings))  # noqa: S606  (it takes signals)
    record = platform.runner.step(chosen, step_name, run_id)
    seconds = (record.ended - record.started).total_seconds()
    if not rank():
        console.print(f"[green]✔[/] {which} [dim]{seconds:.1f} s, {', '.join(record.outputs)}[/]")


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


def _serving_app(settings: "Settings") -> "ServingApp":
    """Return the app of one worker process, which opens its own stores."""
    from pipelines.bootstrap import Platform
    from pipelines.serving.app import ServingApp
    from pipelines.serving.service import PredictionService
    from pipelines.storage.prediction_log import LogWriter

    platform = Platform(settings.changed({"attempts": 3}))  # what waits in memory is written by the next flush
    writer = LogWriter(platform.objects, settings.environment, settings.flush_seconds, settings.flush_rows)
    service = PredictionService(platform.problem, platform.online, platform.models, platform.releases, writer, settings)
    push = platform.profile.push_metrics
    return ServingApp(service, settings, push(service.metrics.registry) if push else None)


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


def tell(platform: "Platform", run_id: str, output: Any, as_json: bool) -> None:
    """Print what a run came to; exits with 3 for a candidate that was refused."""
    from pipelines.config import StrictModel

    document = output.model_dump(mode="json") if isinstance(output, StrictModel) else {}
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
