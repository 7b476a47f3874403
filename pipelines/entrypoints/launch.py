"""Starts runs, with parameters from texts, from the clock, or from the platform that starts them."""

import getpass
import json
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pipelines.bootstrap import Platform, pipeline
from pipelines.config import StrictModel, UserError, WrongUsage, nearest
from pipelines.config.strict import explain
from pipelines.orchestration.executions import ComputeRequest
from pipelines.orchestration.pipeline import Pipeline

SCHEDULED = "scheduled"
"""Stands for a run id of its own, that of a scheduled execution."""


def parameters(kind: type[StrictModel], settings: list[str], now: datetime) -> StrictModel:
    """Read ``name=value`` texts as a pipeline's parameters; a value may be JSON, and a day stands for its midnight."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator:
            raise WrongUsage(f"--set {setting}: write NAME=VALUE; {nearest(name, kind.model_fields)}")
        values[name] = _value(value)
    if "as_of" in kind.model_fields and "as_of" not in values:
        values["as_of"] = now.isoformat()
    if "reason" in kind.model_fields and "reason" not in values:
        values["reason"] = f"started by {getpass.getuser()}"
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise WrongUsage("\n".join(f"--set {line}" for line in explain(error, kind))) from error


def scheduled(platform: Platform, chosen: Pipeline, run_id: str, execution: str | None) -> str:
    """Return the run that a step belongs to; a scheduled execution has a run of its own, created on first use.

    Such a run is for this moment, or for yesterday where its pipeline takes days.
    """
    if run_id != SCHEDULED or not execution:
        return run_id
    own = f"{chosen.name}-{execution}"
    if not platform.runner.exists(chosen, own):
        now = platform.settings.now()
        today = now.date()
        days = [f"start={today - timedelta(days=1)}", f"end={today}"] if "start" in chosen.params.model_fields else []
        because = ["reason=the schedule"] if "reason" in chosen.params.model_fields else []
        platform.runner.start(chosen, parameters(chosen.params, days + because, now), own)
    return own


def start_elsewhere(
    platform: Platform, chosen: Pipeline, run_id: str, machines: int | None = None, gpu: bool | None = None
) -> str:
    """Start a recorded run on SageMaker or in the cluster, by the profile, and return its name there.

    ``machines`` and ``gpu`` are what a network trains on, for a platform that does not state that itself.
    """
    from pipelines.training import TrainingParams

    params, network = platform.runner.params(chosen, run_id), False
    if isinstance(params, TrainingParams):
        training = platform.problem.config.training
        network = bool({*(params.estimators or training.estimators)} & {*training.networks})
    return platform.executions.start(chosen, run_id, ComputeRequest(network, machines, gpu))


def train_the_best(platform: Platform, job: str) -> str:
    """Start the training pipeline with the best settings of a tuning job; another call finds the same run.

    Raises:
        UserError: for a job that no run started, when none of its trials was finished, and without tuning jobs.
    """
    from pipelines.training import TrainingParams
    from pipelines.training.trial import best_trial

    if platform.tuner is None:
        raise UserError("tuning jobs run on SageMaker alone: set RATCHET_PROFILE=aws")
    training, searched = pipeline("training"), platform.tuner.run_of(job)
    given = platform.runner.params(pipeline("search"), searched)
    assert isinstance(given, TrainingParams)
    params = TrainingParams(
        as_of=given.as_of,
        reason=f"the best of {searched}",
        estimators=given.estimators,
        settings={given.estimators[0]: best_trial(platform.objects, searched).settings},
    )
    run_id = platform.runner.start(training, params, f"{searched}-best")
    start_elsewhere(platform, training, run_id)
    return run_id


def step_of(which: str) -> tuple[Pipeline, str]:
    """Return the pipeline and the step that ``PIPELINE/STEP`` names; an unknown one is a UserError."""
    name, _, step = which.partition("/")
    chosen = pipeline(name)
    return chosen, chosen[step].name


def _value(text: str) -> Any:
    if len(text) == 10 and text[4] == text[7] == "-":
        return f"{text}T00:00:00Z"
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
