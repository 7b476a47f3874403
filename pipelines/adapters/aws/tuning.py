"""A search's trials as a SageMaker tuning job, each of whose training jobs runs the image's ``train``."""

import hashlib
import json
from contextlib import suppress
from typing import Any

from pipelines.adapters.aws.clients import asking
from pipelines.adapters.aws.jobs import machines, places, training_job
from pipelines.config import ProblemConfig, UserError
from pipelines.contracts import Stack
from pipelines.contracts.rendered import filled
from pipelines.storage.ports import ObjectStore
from pipelines.training.tuning_job import tuning_job

_NAME = 32  # characters that SageMaker takes


class TuningJobs:
    """Implements :class:`pipelines.training.tuning.Tuner`."""

    def __init__(self, sagemaker: Any, objects: ObjectStore, stack: Stack) -> None:
        self._sagemaker, self._objects, self._stack = sagemaker, objects, stack

    def start(self, run_id: str, config: ProblemConfig, estimator: str, workers: int) -> str:
        """See the port; stores the run of the job first, so that the handler of its end finds it."""
        name = job_name(self._stack, run_id)
        given = request(self._stack, config, run_id, estimator, workers)
        self._objects.write(f"jobs/{name}.json", json.dumps({"run_id": run_id}).encode())
        started_before = suppress(self._sagemaker.exceptions.ResourceInUse)
        with asking("SageMaker"), started_before:
            self._sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **given)
        return name

    def run_of(self, name: str) -> str:
        """Return the run whose trials a tuning job runs.

        Raises:
            UserError: for a job that no run started.
        """
        document = self._objects.read(f"jobs/{name}.json")
        if document is None:
            raise UserError(f"no run of this environment started the tuning job {name!r}")
        return str(json.loads(document)["run_id"])


def job_name(stack: Stack, run_id: str) -> str:
    """Return the name of a run's tuning job, which begins with the environment's prefix.

    Raises:
        UserError: when the name would be too long.
    """
    name = f"{stack.project}-{stack.environment}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    if len(name) > _NAME:
        raise UserError(
            f"a tuning job's name has {_NAME} characters at most, and {name} is longer; a project with a shorter name "
            "can have one, and 'mlops sweep' searches on one machine"
        )
    return name


def request(stack: Stack, config: ProblemConfig, run_id: str, estimator: str, workers: int) -> dict[str, Any]:
    """Return what CreateHyperParameterTuningJob takes besides a name.

    Raises:
        UserError: without an image, and for a search that SageMaker does not support.
    """
    if stack.compute.image is None:
        raise UserError(f"{stack.environment!r} has no image to run yet; deliver one, and 'pulumi up'")
    tuned = tuning_job(config, estimator, workers)
    instance, _ = machines(stack, estimator in config.training.networks)
    checkpoints = f"s3://{stack.store.bucket}/checkpoints/{run_id}"
    job = training_job({"trial": estimator, "run_id": run_id}, checkpoints, instance, 1)
    metric = tuned["HyperParameterTuningJobObjective"]["MetricName"]
    job["StaticHyperParameters"] = job.pop("HyperParameters")
    del job["AlgorithmSpecification"]["ContainerEntrypoint"]  # SageMaker starts the image with "train"
    job["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": metric, "Regex": rf"\b{metric}=([-+.e\d]+);"}]
    return {"HyperParameterTuningJobConfig": tuned, "TrainingJobDefinition": filled(job, places(stack))}
