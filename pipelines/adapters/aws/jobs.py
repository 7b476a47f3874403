"""Requests of SageMaker jobs, each of which runs the image; placeholders stand for what differs by environment.

In a pipeline's definition the stack fills the placeholders (:mod:`pipelines.contracts.rendered`); a job that is
started on its own fills them from the stack's document.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.contracts import Stack
from pipelines.contracts.rendered import training_places
from pipelines.settings import PREFIX

CHECKPOINTS = "/opt/ml/checkpoints"  # what SageMaker keeps in the store, and brings back when a job goes on

_HOUR = 3600
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "{{region}}",  # SageMaker states AWS_REGION, which boto3 does not read
    f"{PREFIX}PROFILE": "aws",
    f"{PREFIX}PROJECT": "{{project}}",
    f"{PREFIX}ENVIRONMENT": "{{environment}}",
}
_NETWORK = {"Subnets": "{{subnets}}", "SecurityGroupIds": "{{security_groups}}"}


def processing_job(entrypoint: list[str], arguments: list[Any]) -> dict[str, Any]:
    """Return what CreateProcessingJob takes besides a name."""
    return {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "{{instance}}", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {
            "ImageUri": "{{image}}",
            "ContainerEntrypoint": entrypoint,
            "ContainerArguments": arguments,
        },
        "RoleArn": "{{role}}",
        "Environment": _ENVIRONMENT,
        "NetworkConfig": {"VpcConfig": _NETWORK},
        "StoppingCondition": {"MaxRuntimeInSeconds": 4 * _HOUR},
    }


def training_job(hyperparameters: Mapping[str, Any], checkpoints: Any, instance: Any, instances: Any) -> dict[str, Any]:
    """Return what CreateTrainingJob takes besides a name.

    A job on spot instances stores its checkpoints under ``checkpoints`` in the store, from where its successor
    resumes. Only instances that are not spot can stay warm.
    """
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "{{image}}",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["train"],
        },
        "HyperParameters": dict(hyperparameters),
        "RoleArn": "{{role}}",
        "OutputDataConfig": {"S3OutputPath": "s3://{{bucket}}/jobs", "KmsKeyId": "{{key}}"},
        "CheckpointConfig": {"S3Uri": checkpoints, "LocalPath": CHECKPOINTS},
        "ResourceConfig": {
            "InstanceType": instance,
            "InstanceCount": instances,
            "VolumeSizeInGB": 50,
            "KeepAlivePeriodInSeconds": "{{keep_alive_seconds}}",
        },
        "EnableManagedSpotTraining": "{{spot}}",
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "StoppingCondition": {
            "MaxRuntimeInSeconds": "{{max_seconds}}",
            "MaxWaitTimeInSeconds": "{{max_wait_seconds}}",
        },
        "Environment": {**_ENVIRONMENT, f"{PREFIX}CHECKPOINTS": CHECKPOINTS},
        "VpcConfig": _NETWORK,
    }


def places(stack: Stack) -> dict[str, Any]:
    """Return the values of the placeholders of a job in an environment."""
    return {
        "project": stack.project,
        "region": stack.region,
        "environment": stack.environment,
        "image": stack.compute.image,
        "role": stack.compute.role,
        "bucket": stack.store.bucket,
        "key": stack.store.key,
        **training_places(stack.compute.training),
        "subnets": list(stack.compute.subnets),
        "security_groups": list(stack.compute.security_groups),
    }


def machines(stack: Stack, networks: bool) -> tuple[str, int]:
    """Return the type and number of a training job's instances; only networks use a GPU, or several instances."""
    training = stack.compute.training
    if not networks:
        return training.instance, 1
    return training.gpu_instance or training.instance, training.instances
