"""A pipeline as a SageMaker Pipelines definition: the same steps and order, each a job that runs ``mlops step``.

Differences between environments are placeholders, as :mod:`pipelines.contracts.rendered` describes; differences
between runs are parameters: ``RunId``, and the instances of a training job. Steps take their inputs from the object
store, as on every platform, and are done when their record exists.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.adapters.aws.jobs import processing_job, training_job
from pipelines.contracts import keys
from pipelines.orchestration.pipeline import Pipeline

RUN_ID, INSTANCE, INSTANCES = "RunId", "TrainingInstance", "TrainingInstances"
SCHEDULED = "scheduled"  # as pipelines.entrypoints.launch has it, which this layer does not see

TRAINING_JOBS = {("training", "train")}
"""The steps that are training jobs: with checkpoints, and instances that a run may choose."""

_OFFLINE = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
_OFFLINE |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}


def definition(pipeline: Pipeline) -> dict[str, Any]:
    """Return the definition, equal for equal pipelines; sends no request."""
    with _offline():
        import boto3
        from sagemaker.core.workflow.execution_variables import ExecutionVariables
        from sagemaker.core.workflow.functions import Join
        from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
        from sagemaker.core.workflow.pipeline_context import PipelineSession
        from sagemaker.mlops.workflow.pipeline import Pipeline as SageMakerPipeline

        run_id, execution = ParameterString(RUN_ID, default_value=SCHEDULED), ExecutionVariables.PIPELINE_EXECUTION_ID
        machines = ParameterString(INSTANCE, "{{instance}}"), ParameterInteger(INSTANCES, 1)
        trains = any((pipeline.name, name) in TRAINING_JOBS for name in pipeline.steps)
        steps: dict[str, Any] = {}
        for name in pipeline.steps:
            if (pipeline.name, name) in TRAINING_JOBS:
                given = {"step": f"{pipeline.name}/{name}", "run_id": run_id, "execution": execution}
                checkpoints = Join("/", ["s3://{{bucket}}/" + keys.CHECKPOINTS.rstrip("/"), execution])
                request = training_job(given, checkpoints, *machines)
            else:
                arguments = ["--run-id", run_id, "--execution", execution]
                request = processing_job(["mlops", "step", f"{pipeline.name}/{name}"], arguments)
            steps[name] = _step(pipeline, name, request, list(steps.values()))
        whole = SageMakerPipeline(
            name=pipeline.name,
            parameters=[run_id, *(machines if trains else ())],
            pipeline_experiment_config=None,
            steps=list(steps.values()),
            sagemaker_session=PipelineSession(boto_session=boto3.Session(), default_bucket="none"),
        )
        return json.loads(whole.definition())  # type: ignore[no-any-return]


def _step(pipeline: Pipeline, name: str, request: dict[str, Any], before: list[Any]) -> Any:
    """Return a step that follows those whose outputs it takes, and the previous one, whose writes it may read."""
    from sagemaker.core.workflow.properties import Properties
    from sagemaker.mlops.workflow.retry import (
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )
    from sagemaker.mlops.workflow.steps import ConfigurableRetryStep, StepTypeEnum

    class JobStep(ConfigurableRetryStep):  # type: ignore[misc]
        """A step from its request, because the SDK's own steps call IAM and need a session when they are made."""

        @property
        def arguments(self) -> dict[str, Any]:
            return request

        @property
        def properties(self) -> Any:
            return Properties(step_name=name, step=self)

    passing = [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING]
    scarce = [SageMakerJobExceptionTypeEnum.INTERNAL_ERROR, SageMakerJobExceptionTypeEnum.CAPACITY_ERROR]
    needed = [step for step in before if step.name in pipeline[name].needs.values() or step is before[-1]]
    return JobStep(
        name=name,
        step_type=StepTypeEnum.TRAINING if (pipeline.name, name) in TRAINING_JOBS else StepTypeEnum.PROCESSING,
        depends_on=needed,
        retry_policies=[
            StepRetryPolicy(exception_types=passing, interval_seconds=10, max_attempts=5),
            SageMakerJobStepRetryPolicy(exception_types=scarce, interval_seconds=120, expire_after_mins=120),
        ],
    )


@contextmanager
def _offline() -> Iterator[None]:
    """Give the SDK, which creates clients at its import, a region and dummy credentials."""
    before = dict(os.environ)
    os.environ.update(_OFFLINE)
    os.environ.pop("AWS_PROFILE", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
