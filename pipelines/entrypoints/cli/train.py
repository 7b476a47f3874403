"""The commands that train: train, sweep, and drain for the triggers that wait."""

import getpass
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import AsOf, Json, On, Where, app, command, lasting, moment
from pipelines.entrypoints.cli.runs import Processes, RunId, placed, resumable, resumed, shown, start_there, tell
from pipelines.entrypoints.cli.terminal import console, print_json, say, suggest

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings


@command(
    app,
    "mlops train",
    "mlops train --estimator baseline --as-of 2013-09-01",
    "mlops train --on kubernetes --machines 2 --gpu",
)
def train(
    context: typer.Context,
    as_of: AsOf = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train this estimator instead of those of problem.toml; repeat for several."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Write a trace and a summary of where time goes.")] = False,
    processes: Processes = 1,
    run_id: RunId = None,
    on: Annotated[Where, typer.Option(help="Where to run: here, or as a Job on kubernetes.")] = Where.HERE,
    machines: Annotated[int, typer.Option(min=1, metavar="N", help="Pods of a Job that train a network together.")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="Give each pod a GPU.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model now, in one process, in several, or in pods.

    The candidate is judged by the gates; when they refuse it the exit code is 3.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError, WrongUsage
    from pipelines.settings import node
    from pipelines.training import TrainingParams
    from pipelines.training.torchrun import environ, torchrun

    platform: Platform = context.obj
    chosen, reason = pipeline("training"), f"started by {getpass.getuser()}"
    params = TrainingParams(
        as_of=moment(platform, as_of), reason=reason, estimators=tuple(estimator or ()), profile=profile
    )
    if on is Where.AWS:
        raise WrongUsage("run 'mlops run training --on aws': on SageMaker the stack states the machines")
    platform = placed(platform, on)
    run_id = resumed(platform, chosen, run_id, as_of is not None, "--as-of") or platform.runner.start(
        chosen, params, run_id
    )
    if on is Where.KUBERNETES:
        start_there(platform, chosen, run_id, as_json, machines, gpu)
        return
    here = node(platform.settings)
    if processes > 1 or here.num_nodes > 1:
        if here.node_rank == 0:  # the others wait for it where they meet
            platform.runner.run(chosen, run_id, before="train")
        argv = torchrun(here, processes, ["step", "training/train", "--run-id", run_id])
        if subprocess.run(argv, check=False, env=environ(here, platform.settings)).returncode:
            raise UserError(f"a process of run {run_id} failed; what it said is above")
        if here.node_rank > 0:
            return
    with shown(chosen, run_id, as_json) as observe:
        output = platform.runner.run(chosen, run_id, observe)
    pages = [] if as_json else sorted((platform.profiles / run_id).glob("*/summary.md"))
    for page in pages:
        say(f"  [dim]profile[/] {page}")
    tell(platform, run_id, output, as_json)


@command(
    app,
    "mlops sweep gradient_boosting",
    "mlops sweep gradient_boosting --workers 2 --as-of 2013-09-01",
    "mlops sweep gradient_boosting --on aws",
)
def sweep(
    context: typer.Context,
    estimator: Annotated[str, typer.Argument(metavar="ESTIMATOR", help="An estimator with a search in problem.toml.")],
    as_of: AsOf = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that try settings side by side.")] = 1,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Resume this search, or start one under this id.")
    ] = None,
    on: On = Where.HERE,
    as_json: Json = False,
) -> None:
    """Search an estimator's settings, and train with the best.

    The gates judge the candidate as any other. With --on aws a SageMaker tuning job makes the trials, and its end
    starts the training; 'mlops follow' shows both.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.config import WrongUsage
    from pipelines.training import TrainingParams
    from pipelines.training.search import in_processes, open_study, seconds, space_of, winner
    from pipelines.training.search_plots import draw

    if on is Where.KUBERNETES:
        raise WrongUsage("a cluster has no tuning jobs; run 'mlops sweep --workers N' on one machine")
    platform: Platform = placed(context.obj, on)
    config, training = platform.problem.config, pipeline("training")
    space_of(platform.problem, estimator)
    started = pipeline("search") if on is Where.AWS else training
    found = resumed(platform, started, run_id, as_of is not None, "--as-of")
    run_id = run_id or f"sweep-{datetime.now(UTC):%Y%m%dt%H%M%S}"
    if on is Where.AWS:
        _tune(platform, estimator, moment(platform, as_of), workers, run_id, as_json)
        return
    if found is None:
        reason = f"search started by {getpass.getuser()}"
        params = TrainingParams(as_of=moment(platform, as_of), reason=reason, estimators=(estimator,))
        platform.runner.start(training, params, run_id)
    resume = f"mlops sweep {estimator} --run-id {run_id}"
    with shown(training, run_id, as_json, resume) as observe:
        platform.runner.run(training, run_id, observe, before="train")
    folder = platform.home / "sweeps" / run_id
    study = open_study(folder, run_id)
    with resumable(resume), console.status("[dim]trials[/]"):
        in_processes(
            _work, [(platform.settings, platform.root, run_id, estimator, number) for number in range(workers)]
        )
    best, spent = winner(study), seconds(study)
    metric = config.gates.champion_comparison.metric
    figures = draw(study, metric, folder)
    if platform.tracking:
        platform.tracking.record_search(config.name, run_id, study.trials, metric, figures)
    if not as_json:
        ended = [trial for trial in study.trials if trial.state.is_finished()]
        price = config.training.budget.price_per_hour
        cost = f", {spent / 3600 * price:.2f} {config.business.currency}" if price else ""
        console.print(f"[bold]{run_id}[/] {len(ended)} trials in {spent / 60:.1f} worker minutes{cost}")
        console.print(f"  {metric} {study.best_value:.4f} with {best}", markup=False)
        for figure in figures:
            say(f"  [dim]{figure}[/]")
    final = f"{run_id}-best"
    if not platform.runner.exists(training, final):
        given = platform.runner.params(training, run_id)
        assert isinstance(given, TrainingParams)
        reason = f"the best of {run_id}"
        platform.runner.start(
            training, given.model_copy(update={"settings": {estimator: best}, "reason": reason}), final
        )
    with shown(training, final, as_json) as observe:
        output = platform.runner.run(training, final, observe)
    tell(platform, final, output, as_json)


@command(
    app,
    "mlops drain",
    'mlops drain --manual "the prices changed"',
)
def drain(
    context: typer.Context,
    manual: Annotated[
        str, typer.Option(metavar="REASON", help="Train for this reason of your own; no cooldown holds it back.")
    ] = "",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Decide on the triggers that wait, and train if they ask for it.

    The training runs here to its end; on AWS it is started, and the command returns.
    """
    from pipelines.entrypoints.drain import drain
    from pipelines.settings import step_output

    platform = lasting(context.obj)
    done = drain(platform, moment(platform, as_of), manual.strip() or None)
    if output := step_output():
        with output.open("a", encoding="utf-8") as file:
            file.write(f"ended={str(done.ended).lower()}\n")
    if as_json:
        print_json(done.model_dump(mode="json"))
        return
    for line in (f"{done.run_id}: {done.says}" if done.run_id else done.says, *done.refused):
        say(escape(line))


def _tune(platform: "Platform", estimator: str, as_of: datetime, workers: int, run_id: str, as_json: bool) -> None:
    """Start the search on SageMaker."""
    from pipelines.bootstrap import pipeline
    from pipelines.training.tuning import SearchParams
    from pipelines.training.tuning_job import tuning_job

    search = pipeline("search")
    tuning_job(platform.problem.config, estimator, workers)  # what SageMaker would refuse is told now
    if not platform.runner.exists(search, run_id):
        reason = f"search started by {getpass.getuser()}"
        params = SearchParams(as_of=as_of, reason=reason, estimators=(estimator,), workers=workers)
        platform.runner.start(search, params, run_id)
    start_there(platform, search, run_id, as_json)
    if not as_json:
        suggest(f"mlops follow training --run-id {run_id}-best, when the search has ended")


def _work(settings: "Settings", root: Path, run_id: str, estimator: str, number: int) -> None:
    from pipelines.bootstrap import Platform, pipeline
    from pipelines.training.search import open_study, work

    platform = Platform(settings, root)
    frame, split = (platform.runner.output(pipeline("training"), name, run_id) for name in ("extract", "prepare"))
    seed = platform.problem.config.training.seed + number
    work(open_study(platform.home / "sweeps" / run_id, run_id, seed), platform.problem, estimator, frame, split)
