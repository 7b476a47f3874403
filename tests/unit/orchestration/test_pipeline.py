"""Wiring is checked when a pipeline is made, and against the platform's resources when it is asked for by name."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.adapters.resources import resource_types
from pipelines.bootstrap import Platform, pipeline
from pipelines.config import StrictModel, UserError
from pipelines.feature.offline import Lookup
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.pipeline import Pipeline, RunInfo, fits
from pipelines.settings import Settings
from pipelines.training import TrainingParams
from pipelines.training.pipeline import PIPELINE as TRAINING
from pipelines.training.tuning import SearchParams


class Params(StrictModel):
    """Parameters."""


class Number(StrictModel):
    """An output."""


class Text(StrictModel):
    """Another output."""


def number(params: Params) -> Number: ...
def text(number: Number, run: RunInfo) -> Text: ...
def both(number: Number, text: Text, home: Path) -> Text: ...
def untyped(number): ...


def made(kept: Pipeline, names: Mapping[str, str]) -> Pipeline:
    """Make a pipeline anew whose outputs have other names, its resources checked."""
    functions = {names.get(step.output, step.output): step.function for step in kept.steps.values()}
    again = Pipeline(kept.name, kept.params, **functions)
    again.check_resources(resource_types())
    return again


def swaps() -> list[Any]:
    """Return every two outputs of each pipeline, of which a later step takes one at least."""
    cases = []
    for name in PIPELINES:
        steps = pipeline(name).steps.values()
        taken = {name for step in steps for name in step.needs}
        pairs = itertools.combinations([step.output for step in steps], 2)
        cases += [pytest.param(name, *pair, id=f"{name}:{'/'.join(pair)}") for pair in pairs if taken & set(pair)]
    return cases


@pytest.mark.parametrize(("name", "one", "other"), swaps())
def test_two_outputs_swapped_are_refused(name, one, other):
    with pytest.raises(UserError, match=f"pipeline '{name}' is wired wrongly"):
        made(pipeline(name), {one: other, other: one})


def test_a_swap_is_told_by_the_types_that_do_not_fit():
    with pytest.raises(UserError, match="run_gates takes 'trained' as Trained, but it is Evaluated"):
        made(TRAINING, {"trained": "evaluated", "evaluated": "trained"})


def test_the_pipelines_as_they_are_pass():
    assert [made(pipeline(name), {}).name for name in PIPELINES] == list(PIPELINES)


@pytest.mark.parametrize(
    ("functions", "fault"),
    [
        ({"number": number, "other": number}, "two steps are called number"),
        ({"number": number, "run": text}, "'run', the output of text, is a name in use"),
        ({"text": text, "number": number}, "text takes 'number', which no step before it makes"),
        ({"number": text}, "text takes 'number', which no step before it makes"),
        ({"number": number, "text": number, "last": both}, "both takes 'text' as Text, but it is Number"),
        ({"number": number, "text": untyped}, "untyped takes 'number' as something without a type, but it is Number"),
        ({"number": untyped, "text": text}, "text takes 'number' as Number, but it is something without a type"),
    ],
)
def test_a_name_taken_or_a_type_that_does_not_fit_is_refused(functions, fault):
    with pytest.raises(UserError, match=fault):
        Pipeline("example", Params, **functions)


def test_parameters_of_another_pipeline_are_refused():
    with pytest.raises(UserError, match="number takes 'params' as Params, but it is TrainingParams"):
        Pipeline("example", TrainingParams, number=number)


@pytest.mark.parametrize(
    ("resources", "fault"),
    [
        ({"homes": Path}, "both takes 'home', which is no resource; did you mean 'homes'?"),
        ({"home": str}, "both takes 'home' as Path, but it is str"),
        ({"home": Path, "text": Text}, "'text' is an output and a resource"),
    ],
)
def test_a_resource_missing_or_of_another_type_is_refused(resources, fault):
    example = Pipeline("example", Params, number=number, text=text, last=both)
    example.check_resources({"home": Path})
    with pytest.raises(UserError, match=fault.replace("?", r"\?")):
        example.check_resources(resources)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_platform_makes_each_resource_that_a_step_asks_for(name, tmp_path):
    platform = Platform(Settings(home=tmp_path, problem="tests.problems.late"))
    wanted = {resource for step in pipeline(name).steps.values() for resource in step.resources}
    for resource in wanted - {"params", "run"}:
        platform.resource(resource)


def test_what_is_no_resource_is_kept_from_steps(tmp_path):
    with pytest.raises(UserError, match="there is no resource 'profile'; did you mean 'profiles'"):
        Platform(Settings(home=tmp_path, problem="tests.problems.late")).resource("profile")


@pytest.mark.parametrize(
    ("given", "wanted", "fit"),
    [
        (SearchParams, TrainingParams, True),
        (TrainingParams, SearchParams, False),
        (Lookup | None, Lookup | None, True),
        (Lookup | None, Lookup, False),
        (Lookup, Lookup | None, True),
        (dict[str, pa.Table], Mapping[str, pa.Table], True),
        (dict[str, pa.Table], dict[str, Number], False),
        (dict, dict[str, Number], False),
        (dict[str, Number], dict, True),
        (pa.Table, Number, False),
        (Number, Any, True),
    ],
)
def test_types_fit_as_a_type_checker_has_it(given, wanted, fit):
    assert fits(given, wanted) is fit
