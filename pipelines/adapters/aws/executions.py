"""Runs on SageMaker Pipelines; a run counts as succeeded only by the outputs that it stored."""

import hashlib
import json
from typing import Any

from pipelines.adapters.aws.clients import asking
from pipelines.adapters.aws.definition import INSTANCE, INSTANCES, RUN_ID, TRAINING_JOBS
from pipelines.adapters.aws.jobs import machines
from pipelines.config import UserError
from pipelines.contracts import Stack, keys
from pipelines.orchestration.executions import TAIL, ComputeRequest, RunOutcome, checked
from pipelines.orchestration.pipeline import Pipeline
from pipelines.orchestration.runner import Runner
from pipelines.storage.ports import ObjectStore


class SageMakerExecutions:
    """The executions of an environment's pipelines."""

    place = "SageMaker"

    def __init__(self, sagemaker: Any, logs: Any, objects: ObjectStore, stack: Stack) -> None:
        self._sagemaker, self._logs, self._objects, self._stack = sagemaker, logs, objects, stack

    def start(self, pipeline: Pipeline, run_id: str, compute: ComputeRequest = ComputeRequest()) -> str:
        """Start a run whose parameters are recorded, and return the ARN of its execution; at most one for each run.

        A network trains on the instances that the stack states for networks.

        Raises:
            UserError: when the environment has no such pipeline, or the run asks for machines of its own.
        """
        if compute.machines is not None or compute.gpu is not None:
            raise UserError("on SageMaker the stack states what networks train on; see 'training' in its settings")
        name = f"{self._stack.project}-{self._stack.environment}-{pipeline.name.replace('_', '-')}"
        parameters = {RUN_ID: run_id}
        if any((pipeline.name, step) in TRAINING_JOBS for step in pipeline.steps):
            instance, count = machines(self._stack, compute.network)
            parameters |= {INSTANCE: instance, INSTANCES: str(count)}
        with asking("SageMaker"):
            try:
                answer = self._sagemaker.start_pipeline_execution(
                    PipelineName=name,
                    PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
                    ClientRequestToken=hashlib.sha256(f"{name} {run_id}".encode()).hexdigest(),
                )
            except self._sagemaker.exceptions.ResourceNotFound:
                raise UserError(f"SageMaker has no pipeline {name}; run 'mlops render', then 'pulumi up'") from None
        arn = str(answer["PipelineExecutionArn"])
        self._objects.write(_key(run_id), json.dumps({"arn": arn}).encode())
        return arn

    def knows(self, run_id: str) -> bool:
        """Return whether a run was started here."""
        return self._objects.read(_key(run_id)) is not None

    def outcome(self, runner: Runner, pipeline: Pipeline, run_id: str) -> RunOutcome:
        """Return where a run stands; only the records and outputs of its steps count as success.

        Raises:
            UserError: when the run was not started here.
        """
        arn = self._arn(run_id)
        with asking("SageMaker"):
            execution = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        match execution["PipelineExecutionStatus"]:
            case "Executing" | "Stopping":
                return RunOutcome("executing")
            case "Succeeded":
                return checked(runner, pipeline, run_id, "SageMaker says Succeeded")
        return self._failed(runner, run_id, arn, str(execution.get("FailureReason", "it was stopped")))

    def cancel(self, run_id: str) -> None:
        """Stop a run, and the step that is running.

        Raises:
            UserError: when the run was not started here.
        """
        arn = self._arn(run_id)
        with asking("SageMaker"):
            self._sagemaker.stop_pipeline_execution(
                PipelineExecutionArn=arn, ClientRequestToken=hashlib.sha256(arn.encode()).hexdigest()
            )

    def _arn(self, run_id: str) -> str:
        document = self._objects.read(_key(run_id))
        if document is None:
            raise UserError(f"run {run_id!r} was not started on SageMaker; 'mlops status' lists the latest runs")
        return str(json.loads(document)["arn"])

    def _failed(self, runner: Runner, run_id: str, arn: str, reason: str) -> RunOutcome:
        with asking("SageMaker"):
            steps = self._sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        for step in steps:
            if step["StepStatus"] == "Failed":
                record = runner.record(run_id, step["StepName"])
                said = record.error if record and record.status == "failed" else step.get("FailureReason", reason)
                log = record.log[-TAIL:] if record else self._log(step.get("Metadata", {}))
                return RunOutcome("failed", f"{step['StepName']}: {said}", tuple(log))
        return RunOutcome("failed", reason)

    def _log(self, metadata: dict[str, dict[str, str]]) -> list[str]:
        """Return the last lines of a job's log, for a step that was killed before it left a record."""
        for kind, job in metadata.items():
            group = f"/aws/sagemaker/{kind}s"  # ProcessingJobs, TrainingJobs
            name = job["Arn"].rpartition("/")[2]
            with asking("CloudWatch Logs"):
                try:
                    streams = self._logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)
                except self._logs.exceptions.ResourceNotFoundException:
                    return []
                for stream in streams["logStreams"]:
                    found = self._logs.get_log_events(
                        logGroupName=group, logStreamName=stream["logStreamName"], limit=TAIL, startFromHead=False
                    )
                    return [event["message"] for event in found["events"]]
        return []


def _key(run_id: str) -> str:
    return keys.run(run_id, "execution.json")
