"""The commands that train: train, sweep, and drain for the triggers that wait."""

import getpass
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, On, Where, app, console, moment, print_json
from pipelines.entrypoints.cli.runs import Processes, RunId, placed, start_there, tell, tell_started

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings


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
        from pipelines.adapters.kubernetes.executions import KubernetesExecutions

        jobs = cast("KubernetesExecutions", platform.executions)
        tell_started(on, chosen, run_id, jobs.start(chosen, run_id, machines, gpu), as_json)
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


@app.command()
def sweep(
    context: typer.Context,
    estimator: Annotated[str, typer.Argument(help="The estimator; problem.toml states what of it may vary.")],
    as_of: AsOf = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make trials at the same time.")] = 1,
    run_id: Annotated[str | None, typer.Option(help="Resume this search, or start one under this id.")] = None,
    on: On = Where.HERE,
    as_json: Json = False,
) -> None:
    """Search an estimator's settings within the problem's budget; the best become a candidate, judged as any other.

    With --on aws a SageMaker tuning job makes the trials, and its end starts the training: 'mlops follow' tells.
    """
    from pipelines.bootstrap import pipeline
    from pipelines.config import UserError
    from pipelines.training import TrainingParams
    from pipelines.training.search import in_processes, open_study, seconds, space_of, winner
    from pipelines.training.search_plots import draw

    if on is Where.KUBERNETES:
        raise UserError("a cluster has no tuning jobs: run 'mlops sweep --workers N' where the trials may run")
    platform: Platform = placed(context.obj, on)
    config, training = platform.problem.config, pipeline("training")
    space_of(platform.problem, estimator)
    run_id = run_id or f"sweep-{datetime.now(UTC):%Y%m%dt%H%M%S}"
    if on is Where.AWS:
        _tune(platform, estimator, moment(platform, as_of), workers, run_id, as_json)
        return
    if not platform.runner.exists(training, run_id):
        reason = f"search started by {getpass.getuser()}"
        params = TrainingParams(as_of=moment(platform, as_of), reason=reason, estimators=(estimator,))
        platform.runner.start(training, params, run_id)
    platform.runner.run(training, run_id, before="train")
    folder = platform.home / "sweeps" / run_id
    study = open_study(folder, run_id)
    in_processes(_work, [(platform.settings, platform.root, run_id, estimator, number) for number in range(workers)])
    best, spent = winner(study), seconds(study)
    metric = config.gates.champion_comparison.metric
    figures = draw(study, metric, folder)
    platform.tracking.record_search(config.name, run_id, study.trials, metric, figures)
    if not as_json:
        ended = [trial for trial in study.trials if trial.state.is_finished()]
        price = config.training.budget.price_per_hour
        cost = f", {spent / 3600 * price:.2f} {config.business.currency}" if price else ""
        console.print(f"[bold]{run_id}[/] {len(ended)} trials in {spent / 60:.1f} worker minutes{cost}")
        console.print(f"  {metric} {study.best_value:.4f} with {best}", markup=False)
        for figure in figures:
            console.print(f"  [dim]{figure}[/]")
    final = f"{run_id}-best"
    if not platform.runner.exists(training, final):
        given = platform.runner.params(training, run_id)
        assert isinstance(given, TrainingParams)
        reason = f"the best of {run_id}"
        platform.runner.start(
            training, given.model_copy(update={"settings": {estimator: best}, "reason": reason}), final
        )
    tell(platform, final, platform.runner.run(training, final), as_json)


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
    start_there(platform, Where.AWS, search, run_id, as_json)
    if not as_json:
        console.print(f"  [dim]then: mlops follow training --run-id {run_id}-best[/]", soft_wrap=True)


def _work(settings: "Settings", root: Path, run_id: str, estimator: str, number: int) -> None:
    import optuna

    from pipelines.bootstrap import Platform, pipeline
    from pipelines.training.search import open_study, work

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    platform = Platform(settings, root)
    frame, split = (platform.runner.output(pipeline("training"), name, run_id) for name in ("extract", "prepare"))
    seed = platform.problem.config.training.seed + number
    work(open_study(platform.home / "sweeps" / run_id, run_id, seed), platform.problem, estimator, frame, split)
