"""Worker processes that run pipelines beside the demo, as Jobs would."""

import importlib
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from pipelines.bootstrap import Platform
from pipelines.config import StrictModel
from pipelines.settings import Settings

_platform: Platform  # of the worker process


class Worker:
    """Runs one pipeline after another in a process of its own."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def load(self, *modules: str) -> None:
        """Let the worker import the modules of its next work, meanwhile."""
        self._pool.submit(_load, modules)

    def prepare_training(self) -> None:
        """Let the worker import the modules of training and create MLflow's database, meanwhile."""
        self._pool.submit(_prepare_training)

    def start(self, name: str, params: StrictModel, run_id: str | None = None) -> Future[Any]:
        """Start a pipeline run; the future holds its last step's output."""
        return self._pool.submit(_run, name, params, run_id)

    def report(self, path: Path) -> Future[Any]:
        """Start writing the report; the future holds its :class:`pipelines.reporting.report.Summary`."""
        return self._pool.submit(_report, path)


@contextmanager
def running_worker(settings: Settings, root: Path, log: Path) -> Iterator[Worker]:
    """Start a worker, and stop it at the end; an error or Ctrl-C kills its run, as any run may be killed."""
    with ProcessPoolExecutor(1, get_context("spawn"), _start, (settings, root, log)) as pool:
        try:
            yield Worker(pool)
        except BaseException:
            for process in active_children():
                process.kill()
            raise


def _start(settings: Settings, root: Path, log: Path) -> None:
    global _platform  # noqa: PLW0603  (what a pool's initialiser is for)
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _platform = Platform(settings, root)


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        importlib.import_module(module)


def _prepare_training() -> None:
    if _platform.tracking:
        _platform.tracking.prepare()
    _ = _platform.problem.estimators


def _report(path: Path) -> Any:
    from pipelines.reporting.report import write_report

    return write_report(_platform, path)


def _run(name: str, params: StrictModel, run_id: str | None) -> Any:
    return _platform.run(name, params, run_id)
