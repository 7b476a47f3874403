"""The table of what a step may ask for by name: ``pipelines.bootstrap.Platform`` has it, and mypy sees that it does.

``pipelines.bootstrap.pipeline`` holds the annotations of each pipeline's steps against this table.
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
    """The stores of the profile, and what is made of them and of the problem."""

    @property
    def problem(self) -> Problem:
        """The problem that the settings name."""

    @property
    def source(self) -> Source:
        """Where raw rows come from: the problem's own source, or what another environment shares."""

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
        """The environment as releases go to it: log, models, and what can be served."""

    @property
    def predictions(self) -> LogReader:
        """The prediction log of the environment."""

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, which outlives the process that trains."""

    @property
    def profiles(self) -> Path:
        """The folder of the profiles of trainings, by run."""

    @property
    def run_pipeline(self) -> RunPipeline:
        """Runs another pipeline to its end, as a step of one may."""


@cache
def resource_types() -> dict[str, Any]:
    """Return the type of each resource by its name."""
    properties = inspect.getmembers(Resources, lambda member: isinstance(member, property))
    return {name: get_type_hints(found.fget)["return"] for name, found in properties}
