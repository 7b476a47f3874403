"""The resources that a step may take, by parameter name, and their types.

``pipelines.bootstrap.Platform`` implements them, which mypy checks. ``pipelines.bootstrap.pipeline`` checks the
annotations of a pipeline's steps against them when it loads the pipeline, so steps import their heavy types only then.
"""

import inspect
from functools import cache
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from pipelines.adapters.profile import Stores
from pipelines.config import Code, Problem, Source
from pipelines.continuous_training import RunPipeline
from pipelines.deployment.target import ReleaseTarget
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.prediction_log import LogReader


class Resources(Stores, Protocol):
    """The stores of the profile, and what is built from them and the problem."""

    @property
    def problem(self) -> Problem:
        """The problem that the settings name."""

    @property
    def source(self) -> Source:
        """Where raw rows come from: the problem's own source, or another environment's shared tables."""

    @property
    def code(self) -> Code:
        """The code that is running."""

    @property
    def models(self) -> ModelStore:
        """The model store."""

    @property
    def releases(self) -> ReleaseLog:
        """The release log of the environment."""

    @property
    def release_target(self) -> ReleaseTarget:
        """Where releases of the environment go, and what may be released there."""

    @property
    def predictions(self) -> LogReader:
        """The prediction log of the environment."""

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, which outlives the process that trains."""

    @property
    def profiles(self) -> Path:
        """The folder of training profiles, by run."""

    @property
    def run_pipeline(self) -> RunPipeline:
        """Runs another pipeline to its end, for a step that needs its result."""


@cache
def resource_types() -> dict[str, Any]:
    """Return the type of each resource by its name."""
    properties = inspect.getmembers(Resources, lambda member: isinstance(member, property))
    return {name: get_type_hints(found.fget)["return"] for name, found in properties}
