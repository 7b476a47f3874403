"""``mlops sweep``: search an estimator's settings, then train with the best and put the candidate before the gates."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, On, Where, app, console, moment
from pipelines.entrypoints.cli.work import placed, start_there, tell

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings


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
    if platform.tracking:
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
