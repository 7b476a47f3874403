"""Trials an hour of ``mlops sweep`` on the problem in ``model/``: workers and pruning against one trial after another."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.bootstrap import Platform, pipeline
from pipelines.config import Problem
from pipelines.settings import Settings
from pipelines.training.search import in_processes, open_study, work
from tests.bench.benchmarks import Row
from tests.bench.models import REFERENCE, prepared

TRIALS = 16


def measure_sweep() -> Iterator[Row]:
    """The same number of trials: one after another to the end, with pruning, and by two workers with pruning."""
    config = Platform(Settings()).problem.config
    if config.replay is None or REFERENCE not in config.training.search:
        yield Row("sweep", f"the problem has no [replay], or no [training.search.{REFERENCE}], to measure with")
        return
    home = Path(tempfile.mkdtemp())
    prepared(home)
    ways = {"one after another": (1, False), "pruned": (1, True), "pruned, two workers": (2, True)}
    took, best = {}, {}
    for name, (workers, prunes) in ways.items():
        began = time.perf_counter()
        in_processes(partial(_work, home, name, prunes), [(number,) for number in range(workers)])
        took[name], best[name] = time.perf_counter() - began, _study(home, name, 0).best_value
    for name, seconds in took.items():
        what, base = f"{TRIALS} trials of {REFERENCE}, {name}: best {best[name]:.4f}", "one after another"
        rates = (f"{TRIALS / spent * 3600:,.0f} trials/h" for spent in (seconds, took[base]))
        yield Row(what, *rates, f"{took[base] / seconds:.1f}")


def _study(home: Path, name: str, seed: int) -> Any:
    return open_study(home / "sweeps" / name.replace(" ", "-"), "bench", seed)


def _work(home: Path, name: str, prunes: bool, number: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    platform, training = Platform(Settings(home=home)), pipeline("training")
    study = _study(home, name, number)
    if not prunes:
        study.pruner = optuna.pruners.NopPruner()
    frame, split = (platform.runner.output(training, step, "bench") for step in ("extract", "prepare"))
    work(study, _of_trials(platform.problem), REFERENCE, frame, split)


def _of_trials(problem: Problem) -> Problem:
    """Return the problem with a budget of so many trials."""
    config = problem.config
    budget = config.training.budget.model_copy(update={"trials": TRIALS})
    training = config.training.model_copy(update={"budget": budget})
    return Problem(problem.package, config.model_copy(update={"training": training}))
