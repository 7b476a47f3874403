"""A pipeline as a SageMaker Pipelines definition: the same steps and order, each a job that runs ``mlops step``.

What differs between environments is left open in the way that :mod:`pipelines.spec.rendered` describes; what differs
between runs is the parameter ``RunId``. Steps take their inputs from the object store, as anywhere, and are done when
their record is there.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.settings import PREFIX
from pipelines.spec import Pipeline

RUN_ID = "RunId"
SCHEDULED = "scheduled"  # as pipelines.starting has it, which this layer does not see

TRAINING_JOBS = {("training", "train")}
"""The steps that are training jobs: on spot instances, with checkpoints."""

_HOUR = 3600
_ENVIRONMENT = {
    f"{PREFIX}PROFILE": "aws",
    f"{PREFIX}PROJECT": "{{project}}",
    f"{PREFIX}ENVIRONMENT": "{{environment}}",
}
_NETWORK = {"Subnets": "{{subnets}}", "SecurityGroupIds": "{{security_groups}}"}
_OFFLINE = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
_OFFLINE |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}


def definition(pipeline: Pipeline) -> dict[str, Any]:
    """Return the definition, which is the same for the same pipeline; makes no request."""
    with _offline():
        import boto3
        from sagemaker.core.workflow.execution_variables import ExecutionVariables
        from sagemaker.core.workflow.parameters import ParameterString
        from sagemaker.core.workflow.pipeline_context import PipelineSession
        from sagemaker.mlops.workflow.pipeline import Pipeline as SageMakerPipeline

        run_id = ParameterString(RUN_ID, default_value=SCHEDULED)
        arguments = ["--run-id", run_id, "--execution", ExecutionVariables.PIPELINE_EXECUTION_ID]
        steps: dict[str, Any] = {}
        for name in pipeline.steps:
            steps[name] = _step(pipeline, name, arguments, list(steps.values()))
        whole = SageMakerPipeline(
            name=pipeline.name,
            parameters=[run_id],
            pipeline_experiment_config=None,
            steps=list(steps.values()),
            sagemaker_session=PipelineSession(boto_session=boto3.Session(), default_bucket="none"),
        )
        return json.loads(whole.definition())  # type: ignore[no-any-return]


def _step(pipeline: Pipeline, name: str, arguments: list[Any], before: list[Any]) -> Any:
    """Return a step after those whose outputs it takes, and after the one before it, whose writes it may read."""
    from sagemaker.core.workflow.properties import Properties
    from sagemaker.mlops.workflow.retry import (
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )
    from sagemaker.mlops.workflow.steps import ConfigurableRetryStep, StepTypeEnum

    class JobStep(ConfigurableRetryStep):  # type: ignore[misc]
        """A step by its request: the SDK's own steps ask IAM and a local session before there is one."""

        @property
        def arguments(self) -> dict[str, Any]:
            return request

        @property
        def properties(self) -> Any:
            return Properties(step_name=name, step=self)

    trains = (pipeline.name, name) in TRAINING_JOBS
    request = (
        _training_job(pipeline.name, name, arguments) if trains else _processing_job(pipeline.name, name, arguments)
    )
    passing = [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING]
    scarce = [SageMakerJobExceptionTypeEnum.INTERNAL_ERROR, SageMakerJobExceptionTypeEnum.CAPACITY_ERROR]
    needed = [step for step in before if step.name in pipeline[name].needs.values() or step is before[-1]]
    return JobStep(
        name=name,
        step_type=StepTypeEnum.TRAINING if trains else StepTypeEnum.PROCESSING,
        depends_on=needed,
        retry_policies=[
            StepRetryPolicy(exception_types=passing, interval_seconds=10, max_attempts=5),
            SageMakerJobStepRetryPolicy(exception_types=scarce, interval_seconds=120, expire_after_mins=120),
        ],
    )


def _processing_job(pipeline: str, step: str, arguments: list[Any]) -> dict[str, Any]:
    return {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "{{instance}}", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {
            "ImageUri": "{{image}}",
            "ContainerEntrypoint": ["mlops", "step", f"{pipeline}/{step}"],
            "ContainerArguments": arguments,
        },
        "RoleArn": "{{role}}",
        "Environment": _ENVIRONMENT,
        "NetworkConfig": {"VpcConfig": _NETWORK},
        "StoppingCondition": {"MaxRuntimeInSeconds": 4 * _HOUR},
    }


def _training_job(pipeline: str, step: str, arguments: list[Any]) -> dict[str, Any]:
    """Return the request for a spot instance; what it had reached when it was taken away is in its checkpoints."""
    from sagemaker.core.workflow.functions import Join

    _, run_id, _, execution = arguments
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "{{image}}",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["train"],
        },
        "HyperParameters": {"step": f"{pipeline}/{step}", "run_id": run_id, "execution": execution},
        "RoleArn": "{{role}}",
        "OutputDataConfig": {"S3OutputPath": "s3://{{bucket}}/jobs", "KmsKeyId": "{{key}}"},
        "CheckpointConfig": {"S3Uri": Join("/", ["s3://{{bucket}}/checkpoints", execution])},
        "ResourceConfig": {"InstanceType": "{{instance}}", "InstanceCount": 1, "VolumeSizeInGB": 50},
        "EnableManagedSpotTraining": True,
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "StoppingCondition": {"MaxRuntimeInSeconds": 8 * _HOUR, "MaxWaitTimeInSeconds": 16 * _HOUR},
        "Environment": _ENVIRONMENT,
        "VpcConfig": _NETWORK,
    }


@contextmanager
def _offline() -> Iterator[None]:
    """Give the SDK, which makes clients when it is imported, a region and credentials that are good for nothing."""
    before = dict(os.environ)
    os.environ.update(_OFFLINE)
    os.environ.pop("AWS_PROFILE", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
