"""Pipelines: plain typed functions, wired by the names of their parameters."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from pipelines.config.errors import UserError, nearest
from pipelines.config.strict import StrictModel


class RunInfo(StrictModel):
    """What a step may know of the run it belongs to."""

    run_id: str
    pipeline: str
    created: str


class StepRecord(StrictModel):
    """One execution of a step: the SHA-256 of its inputs and output files, its times, and its log."""

    step: str
    status: Literal["succeeded", "failed"]
    started: datetime
    ended: datetime
    inputs: dict[str, str]
    outputs: dict[str, str]
    error: str | None = None
    log: tuple[str, ...] = Field(default=())

    def output_sha256(self) -> str:
        """Return one SHA-256 for all output files."""
        return hashlib.sha256(json.dumps(self.outputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Step:
    """A function of a pipeline, and the name under which later steps take its output.

    Attributes:
        needs: the earlier steps whose outputs the function takes, by parameter name.
        resources: its other parameters.
    """

    function: Callable[..., Any]
    output: str
    needs: Mapping[str, str]
    resources: tuple[str, ...]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @cached_property
    def output_type(self) -> Any:
        """What the function is annotated to return."""
        return inspect.signature(self.function).return_annotation


class Pipeline:
    """Steps in order, each given as ``output_name=function`` and wired by name, as pytest wires fixtures.

    A parameter named like an earlier step's output takes that output; ``params`` takes the run's parameters and
    ``run`` a :class:`RunInfo`; any other parameter names a resource of the platform (``problem``, ``tables``, …).
    """

    def __init__(self, name: str, params: type[StrictModel], /, **functions: Callable[..., Any]) -> None:
        self.name, self.params = name, params
        self.steps: dict[str, Step] = {}
        made_by: dict[str, str] = {}
        for output, function in functions.items():
            parameters = tuple(inspect.signature(function).parameters)
            needs = {parameter: made_by[parameter] for parameter in parameters if parameter in made_by}
            resources = tuple(parameter for parameter in parameters if parameter not in made_by)
            self.steps[function.__name__] = Step(function, output, needs, resources)
            made_by[output] = function.__name__

    def __getitem__(self, step: str) -> Step:
        try:
            return self.steps[step]
        except KeyError:
            raise UserError(f"pipeline {self.name!r} has no step {step!r}; {nearest(step, self.steps)}") from None
