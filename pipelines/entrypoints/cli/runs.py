"""The commands that run pipelines, here or elsewhere: run, follow, cancel, step."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import Json, On, Where, app, command
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import NO, OK, console, done, errors, print_json, print_pairs, say, suggest
from pipelines.orchestration.catalog import PIPELINES

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.orchestration.pipeline import Pipeline
    from pipelines.orchestration.runner import Event, Observer

Processes = Annotated[
    int, typer.Option(min=1, metavar="N", help="Processes of this machine that train a network together.")
]
RunId = Annotated[str | None, typer.Option(metavar="ID", help="Resume this run, or start one under this id.")]

_LOOK_SECONDS = 2


@command(
    app,
    "mlops run feature --set start=2013-01-01 --set end=2013-09-01",
    "mlops run training --set as_of=2013-09-01",
    "mlops run training --run-id training-20130901t000000-1a2b3c",
)
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(PIPELINES)}.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the pipeline; repeat for several."),
    ] = None,
    run_id: RunId = None,
    on: On = Where.HERE,
    as_json: Json = False,
) -> None:
    """Run a pipeline, or resume a run by its --run-id alone.

    Parameters of feature: start, end, online_as_of. Of training and search: as_of, reason, estimators. Of
    continuous_training: as_of, manual. Of monitor: as_of. Of batch: as_of, model. Maintenance has none.

    Times are days or ISO times in UTC; as_of defaults to now.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.entrypoints.launch import parameters

    platform, chosen = placed(context.obj, on), pipeline(name)
    found = None if settings else resumed(platform, chosen, run_id, not chosen.params.model_fields, "--set")
    if found is None:
        params = parameters(chosen.params, settings or [], platform.settings.now())
        found = platform.runner.start(chosen, params, run_id)
    run_id = found
    if on is not Where.HERE:
        start_there(platform, chosen, run_id, as_json)
        return
    with shown(chosen, run_id, as_json) as observe:
        output = platform.runner.run(chosen, run_id, observe)
    tell(platform, run_id, output, as_json)


@command(
    app,
    "mlops follow training --run-id training-20130901t000000-1a2b3c --wait",
)
def follow(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(PIPELINES)}.")],
    run_id: Annotated[str, typer.Option(metavar="ID", help="The run, as 'mlops run --on' printed it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far a run on SageMaker or in a cluster is.

    When it failed, show the reason and the end of its log, and exit with 3.
    """
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
            say(escape(line))
    if outcome.status == "failed":
        raise typer.Exit(ExitCode.NO)


@command(app, "mlops cancel --run-id training-20130901t000000-1a2b3c")
def cancel(
    context: typer.Context,
    run_id: Annotated[str, typer.Option(metavar="ID", help="The run, as 'mlops run --on' printed it.")],
) -> None:
    """Stop a run on SageMaker or in a cluster.

    Its finished steps are kept, and it can be resumed.
    """
    platform: Platform = context.obj
    platform.executions.cancel(run_id)
    done(f"{run_id} is stopped; its finished steps are kept")


@command(
    app,
    "mlops step training/pin --run-id one --set as_of=2013-09-01",
    "mlops step training/extract --run-id one",
)
def step(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="PIPELINE/STEP", help="Such as training/evaluate.")],
    run_id: Annotated[str, typer.Option(metavar="ID", help="The run that the step belongs to.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, to start a new run.")
    ] = None,
    execution: Annotated[
        str | None, typer.Option(metavar="ID", help="SageMaker's execution; names the run of --run-id scheduled.")
    ] = None,
    processes: Processes = 1,
) -> None:
    """Run one step of a run, as Kubernetes Jobs and SageMaker do.

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
        argv = torchrun(here, processes, ["step", which, "--run-id", run_id])
        os.execve(argv[0], argv, environ(here, platform.settings))  # noqa: S606  (it takes signals)
    record = platform.runner.step(chosen, step_name, run_id)
    seconds = (record.ended - record.started).total_seconds()
    if not rank():
        done(f"{which} {seconds:.1f} s, {', '.join(record.outputs)}")


def resumed(platform: "Platform", chosen: "Pipeline", run_id: str | None, stated: bool, flag: str) -> str | None:
    """Return the run that a command resumes, which has its parameters; None where it starts one with those ``stated``.

    Raises:
        UserError: for the id of no run, without parameters: a run that was killed before it was recorded would start
            anew with those of this moment, under the name of the old one.
    """
    if not run_id or platform.runner.exists(chosen, run_id):
        return run_id
    if not stated:
        from pipelines.config import UserError

        raise UserError(f"there is no run {run_id!r} to resume; to start one under this id, say for what by {flag}")
    return None


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """After Ctrl-C, say which command resumes what was interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"\ninterrupted; resume it: {command}", errors)
        raise


@contextmanager
def shown(chosen: "Pipeline", run_id: str, as_json: bool, resume: str = "") -> "Iterator[Observer]":
    """Show the steps of a run as they end; ``resume`` is the command that does so, if it is not ``mlops run``."""
    times: dict[str, float] = {}
    if not as_json:
        console.print(f"[bold]{chosen.name}[/] {run_id}")
    with resumable(resume or f"mlops run {chosen.name} --run-id {run_id}"), console.status("") as status:

        def observe(step: str, event: "Event") -> None:
            status.update(f"[dim]{step}[/]")
            if event == "started":
                times[step] = time.perf_counter()
            elif not as_json:
                told = "resumed, done already" if event == "resumed" else f"{time.perf_counter() - times[step]:.1f} s"
                console.print(f"  {OK} {step} [dim]{told}[/]")

        yield observe


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
    """Start a recorded run by the platform's profile, and say how to follow it."""
    from pipelines.entrypoints.launch import start_elsewhere

    execution = start_elsewhere(platform, chosen, run_id, machines, gpu)
    if as_json:
        print_json({"run_id": run_id, "execution": execution})
        return
    done(f"started {run_id} on {platform.executions.place}")
    suggest(f"mlops follow {chosen.name} --run-id {run_id}")


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
    version = f"v{document['version']}"
    if not as_json:
        refused = [gate for gate in platform.models.manifest(document["model"]).gates if not gate.passed]
        print_pairs([(f"  {NO} {gate.gate}", escape(gate.reason)) for gate in refused])
        suggest(f"mlops propose {version}" if document["accepted"] else f"mlops explain {version}")
    if not document["accepted"]:
        raise typer.Exit(ExitCode.NO)


def _list(document: dict[str, Any], indent: str = "  ") -> None:
    for name, value in document.items():
        if isinstance(value, dict):
            console.print(f"{indent}[dim]{name}[/]")
            _list(value, indent + "  ")
        elif value not in (None, [], ""):
            say(f"{indent}[dim]{name}[/] {escape(str(value))}")
