"""A search for an estimator's settings: trials on the training period, scored on the validation period, by Optuna.

Workers share a study in a database, so they can be killed and started again. A trial that falls behind is pruned: a
network reports each epoch, any other estimator its score on growing shares of the rows (Jamieson & Talwalkar 2016,
successive halving). Sampler: the tree-structured Parzen estimator (Bergstra et al. 2011).
"""

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from optuna import Study, Trial, TrialPruned, create_study
from optuna.exceptions import ExperimentalWarning
from optuna.logging import WARNING, set_verbosity
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from monitoring.metrics import quality
from pipelines.config import Budget, Options, Problem, Scalar, Space, UserError, WrongUsage, nearest
from pipelines.training import Split
from pipelines.training.prepare import part
from pipelines.training.train import inputs, new_estimator, predict

SHARES = (0.25, 0.5, 1.0)  # of the rows, the latest, that an estimator without epochs is fitted on in turn
HEARTBEAT = 30  # seconds; a trial whose worker is silent for twice as long counts as failed
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def space_of(problem: Problem, estimator: str) -> Space:
    """Return the search space of an estimator.

    Raises:
        UserError: when the problem states nothing, or the estimator does not know a setting.
    """
    search = problem.config.training.search
    if estimator not in problem.estimators:
        raise WrongUsage(f"there is no estimator {estimator!r}; {nearest(estimator, problem.estimators)}")
    if estimator not in search:
        raise UserError(f"problem.toml states no [training.search.{estimator}]; {nearest(estimator, search)}")
    for name, allowed in search[estimator].items():
        for value in allowed.values if isinstance(allowed, Options) else (allowed.low, allowed.high):
            new_estimator(problem, estimator, {name: value})
    return search[estimator]


def open_study(folder: Path, name: str, seed: int = 0) -> Study:
    """Return the study of a search; create it unless it exists."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the heartbeat and both options of the sampler
        storage = RDBStorage(
            f"sqlite:///{folder}/study.db",
            engine_kwargs={"connect_args": {"timeout": 60}},  # workers wait for each other
            heartbeat_interval=HEARTBEAT,
            grace_period=2 * HEARTBEAT,
        )
        sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=8)
    set_verbosity(WARNING)
    pruner = MedianPruner(n_startup_trials=5, n_min_trials=3)
    return create_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner, load_if_exists=True)


def work(study: Study, problem: Problem, estimator: str, frame: pa.Table, split: Split) -> None:
    """Run trials until the budget is used up; several workers may share one study."""
    space, budget = space_of(problem, estimator), problem.config.training.budget
    ends = time.monotonic() + budget.minutes * 60
    train, validation = (inputs(part(frame, split, name), problem) for name in ("train", "validation"))
    score = scorer(problem, validation)

    def spent() -> bool:
        return time.monotonic() >= ends or used_up(study, budget)

    def trial(trial: Trial) -> float:
        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune() or spent():
                raise TrialPruned

        return fitted_score(lambda: new_estimator(problem, estimator, suggested(trial, space)), train, score, report)

    while not spent():
        study.optimize(trial, n_trials=1)


def scorer(problem: Problem, validation: tuple[Any, Any]) -> Callable[[Any], float]:
    """Return a function that scores a fitted estimator on the validation period, by the metric of the comparison."""
    metric = problem.config.gates.champion_comparison.metric

    def score(fitted: Any) -> float:
        predicted = predict(fitted, validation[0], problem.config.task)
        return quality(problem.config, validation[1], predicted)[metric]

    return score


def in_processes(work: Callable[..., None], given: Sequence[tuple[Any, ...]]) -> None:
    """Run workers, one for each tuple of arguments: in this process when there is one, else in processes of their own.

    Raises:
        UserError: when all of several workers failed.
    """
    if len(given) == 1:
        work(*given[0])
        return
    # Fitting takes every core unless it is limited, and workers that share cores then wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // len(given))))
    started = multiprocessing.get_context("spawn")
    processes = [started.Process(target=_worker, args=(work, *arguments)) for arguments in given]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():  # after Ctrl-C
                process.terminate()
    if all(process.exitcode for process in processes):
        raise UserError("every worker of the search failed; their errors are above")


def _worker(work: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    work(*arguments)


def fitted_score(
    new: Callable[[], Any], train: tuple[Any, Any], score: Callable[[Any], float], report: Callable[[int, float], None]
) -> float:
    """Fit an estimator and return its score; ``report`` gets the number and the score of each stage."""
    X, y = train
    fitted = new()
    if hasattr(fitted, "on_epoch"):
        fitted.on_epoch = report
        return score(fitted.fit(X, y))
    for number, share in enumerate(SHARES):
        rows = round(len(y) * (1 - share))
        fitted = new().fit(X[rows:], y[rows:])
        if share < 1:
            report(number, score(fitted))
    return score(fitted)


def suggested(trial: Trial, space: Space) -> dict[str, Scalar]:
    """Return the settings of a trial."""
    settings: dict[str, Scalar] = {}
    for name, allowed in space.items():
        if isinstance(allowed, Options):
            settings[name] = trial.suggest_categorical(name, allowed.values)  # type: ignore[assignment]
        elif allowed.whole:
            settings[name] = trial.suggest_int(name, int(allowed.low), int(allowed.high), log=allowed.log)
        else:
            settings[name] = trial.suggest_float(name, allowed.low, allowed.high, log=allowed.log)
    return settings


def used_up(study: Study, budget: Budget) -> bool:
    """Return whether no further trial may begin: all have begun, or the money is spent."""
    trials = study.get_trials(deepcopy=False)
    made = [trial for trial in trials if trial.state in (*_ENDED, TrialState.RUNNING)]
    limit = budget.worker_seconds
    return len(made) >= budget.trials or (limit is not None and seconds(study) >= limit)


def seconds(study: Study) -> float:
    """Return the total time of the trials that ended."""
    return sum(trial.duration.total_seconds() for trial in study.get_trials(deepcopy=False) if trial.duration)


def winner(study: Study) -> dict[str, Scalar]:
    """Return the settings of the best trial.

    Raises:
        UserError: when no trial was finished.
    """
    if not any(trial.state is TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
        raise UserError("no trial was finished within the budget; allow more in [training.budget] and resume")
    return study.best_params
