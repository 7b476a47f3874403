"""The commands that run pipelines, here or elsewhere: run, follow, cancel, step."""

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines import PIPELINES
from pipelines.entrypoints.cli.app import REFUSED, Json, On, Where, app, console, print_json

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.orchestration.pipeline import Pipeline

Processes = Annotated[int, typer.Option(min=1, help="Processes of this machine that train a network together.")]
RunId = Annotated[str | None, typer.Option(help="Resume this run, or start one under this id.")]

_NAMES = {Where.AWS: "SageMaker", Where.KUBERNETES: "Kubernetes"}
_LOOK_SECONDS = 2


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
        start_there(platform, on, chosen, run_id, as_json)
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
def follow(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(PIPELINES)}.")],
    run_id: Annotated[str, typer.Option(help="The run, as 'mlops run --on' named it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Say where a run on SageMaker or in a cluster stands, and of one that failed why, with its log (exit code 3)."""
    from pipelines.bootstrap import pipeline

    platform: Platform = context.obj
    ask = partial(platform.executions.outcome, platform.runner, pipeline(name), run_id)
    while (outcome := ask()).status == "executing" and wait:
        time.sleep(_LOOK_SECONDS)
    if as_json:
        print_json(outcome._asdict())
    else:
        because = f", {outcome.reason}" if outcome.reason else ""
        for line in (f"{run_id}: {outcome.status}{because}", *outcome.log):
            console.print(line, markup=False, soft_wrap=True)
    if outcome.status == "failed":
        raise typer.Exit(REFUSED)


@app.command()
def cancel(
    context: typer.Context, run_id: Annotated[str, typer.Option(help="The run, as 'mlops run --on' named it.")]
) -> None:
    """Stop a run on SageMaker or in a cluster; the steps that are done stay done, and the run can be resumed."""
    platform: Platform = context.obj
    platform.executions.cancel(run_id)
    console.print(f"[green]✔[/] {run_id} is stopped", soft_wrap=True)


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


def placed(platform: "Platform", on: Where) -> "Platform":
    """Return the platform of the place that ``--on`` names."""
    return platform if on is Where.HERE else platform.changed({"profile": on.value})


def start_there(platform: "Platform", on: Where, chosen: "Pipeline", run_id: str, as_json: bool) -> None:
    """Start a recorded run where ``on`` says, and tell how to follow it."""
    from pipelines.entrypoints.launch import start_elsewhere

    tell_started(on, chosen, run_id, start_elsewhere(platform, chosen, run_id), as_json)


def tell_started(on: Where, chosen: "Pipeline", run_id: str, execution: str, as_json: bool) -> None:
    """Tell what was started elsewhere, and how to follow it."""
    if as_json:
        print_json({"run_id": run_id, "execution": execution})
        return
    console.print(f"[green]✔[/] started {run_id} on {_NAMES[on]}", soft_wrap=True)
    console.print(f"  [dim]next: mlops follow {chosen.name} --run-id {run_id}[/]", soft_wrap=True)


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
