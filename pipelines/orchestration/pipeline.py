"""Pipelines: plain typed functions, wired by the names of their parameters."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import Field

from pipelines.config.errors import UserError, WrongUsage, nearest
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
        resources: the annotated types of its other parameters, by name.
        output_type: the type that the function is annotated to return.
    """

    function: Callable[..., Any]
    output: str
    needs: Mapping[str, str]
    resources: Mapping[str, Any]
    output_type: Any

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__


class Pipeline:
    """Steps in order, each given as ``output_name=function`` and wired by name, as pytest wires fixtures.

    A parameter named like an earlier step's output takes that output; ``params`` takes the run's parameters and
    ``run`` a :class:`RunInfo`; any other parameter names a resource of the platform (``problem``, ``tables``, …),
    which :meth:`check_resources` checks.

    Raises:
        UserError: listing each name that is not unique, and each parameter whose value has another type.
    """

    def __init__(self, name: str, params: type[StrictModel], /, **functions: Callable[..., Any]) -> None:
        self.name, self.params = name, params
        self.steps: dict[str, Step] = {}
        self._given: dict[str, Any] = {"params": params, "run": RunInfo}
        made_by: dict[str, str] = {}
        faults: list[str] = []
        for output, function in functions.items():
            hints = {**dict.fromkeys(inspect.signature(function).parameters), **get_type_hints(function)}
            made = hints.pop("return", None)
            needs = {parameter: made_by[parameter] for parameter in hints if parameter in made_by}
            resources = {parameter: hint for parameter, hint in hints.items() if parameter not in made_by}
            step = Step(function, output, needs, resources, made)
            if step.name in self.steps:
                faults.append(f"two steps are called {step.name}; rename one of the functions")
            if output in self._given:
                faults.append(f"{output!r}, the output of {step.name}, is a name in use")
            later = [taken for taken in hints if taken in functions.keys() - made_by.keys()]
            faults += [f"{step.name} takes {taken!r}, which no step before it makes" for taken in later]
            faults += self._misfits(step, self._given, hints)
            self.steps[step.name], self._given[output], made_by[output] = step, made, step.name
        self._refuse(faults)

    def check_resources(self, resources: Mapping[str, Any]) -> None:
        """Check that each resource that a step takes exists with a fitting type; ``resources`` gives types by name.

        Raises:
            UserError: listing each parameter that names no resource or one of another type, and each output that is
                named like a resource.
        """
        faults = [f"{name!r} is an output and a resource" for name in self._given if name in resources]
        for step in self.steps.values():
            asked = {name: hint for name, hint in step.resources.items() if name not in ("params", "run")}
            faults += [
                f"{step.name} takes {name!r}, which is no resource; {nearest(name, resources)}"
                for name in asked
                if name not in resources
            ]
            faults += self._misfits(step, resources, asked)
        self._refuse(faults)

    def __getitem__(self, step: str) -> Step:
        try:
            return self.steps[step]
        except KeyError:
            raise WrongUsage(f"pipeline {self.name!r} has no step {step!r}; {nearest(step, self.steps)}") from None

    @staticmethod
    def _misfits(step: Step, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
        for name, hint in wanted.items():
            if name in given and not fits(given[name], hint):
                yield f"{step.name} takes {name!r} as {_said(hint)}, but it is {_said(given[name])}"

    def _refuse(self, faults: list[str]) -> None:
        if faults:
            raise UserError(f"pipeline {self.name!r} is wired wrongly: " + "; ".join(faults))


def fits(given: Any, wanted: Any) -> bool:
    """Return whether a value annotated as one type may be passed as another; a missing annotation fits nothing.

    Type arguments are covariant, because steps do not change their inputs.
    """
    if given is None or wanted is None:
        return False
    if wanted is Any or given == wanted:
        return True
    if get_origin(given) in (Union, UnionType):
        return all(fits(one, wanted) for one in get_args(given))
    if get_origin(wanted) in (Union, UnionType):
        return any(fits(given, one) for one in get_args(wanted))
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not (isinstance(given_class, type) and isinstance(wanted_class, type) and issubclass(given_class, wanted_class)):
        return False
    parts, wanted_parts = get_args(given), get_args(wanted)
    return not wanted_parts or (len(parts) == len(wanted_parts) and all(map(fits, parts, wanted_parts)))


def _said(hint: Any) -> str:
    if hint is None:
        return "something without a type"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
