"""Runs as Jobs of a cluster: one Job is a whole run, which resumes whenever its pod is started again.

The stack writes a template (image, limits, security) into the ConfigMap ``job``; this module fills in the command.
"""

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from pipelines.adapters.kubernetes.cluster import asking
from pipelines.adapters.kubernetes.template import Work, filled
from pipelines.config import UserError
from pipelines.orchestration.executions import TAIL, ComputeRequest, RunOutcome, checked
from pipelines.orchestration.pipeline import Pipeline
from pipelines.orchestration.runner import Runner
from pipelines.storage.ports import ObjectStore

if TYPE_CHECKING:
    from kubernetes.client import BatchV1Api, CoreV1Api, V1Job, V1Pod

_GONE_SECONDS = 60  # how long a deleted Job may take to go


class KubernetesExecutions:
    """The executions of an environment's pipelines, in its namespace."""

    place = "Kubernetes"

    def __init__(self, batch: "BatchV1Api", core: "CoreV1Api", objects: ObjectStore, namespace: str) -> None:
        self._batch, self._core, self._objects, self.namespace = batch, core, objects, namespace

    def start(self, pipeline: Pipeline, run_id: str, compute: ComputeRequest = ComputeRequest()) -> str:
        """Start a run whose parameters are recorded, or resume one whose Job failed, and return the Job's name.

        A run has at most one Job; calling this for one that runs or is done changes nothing. Each machine is a pod;
        by default there is one, without a GPU.

        Raises:
            UserError: when the namespace or its template of a Job does not exist.
        """
        name = job_name(run_id)
        work = Work(name, pipeline.name, run_id, compute.machines or 1)
        body = filled(self._template(bool(compute.gpu)), work)
        while True:
            with asking("a new Job"):
                try:
                    self._batch.create_namespaced_job(self.namespace, body)
                except ApiException as error:
                    if error.status != 409:
                        raise
                else:
                    return name
            known = self._find(run_id)
            if known and not _ended(known, "Failed"):
                return name
            if known:
                self._delete(known)

    def knows(self, run_id: str) -> bool:
        """Return whether a run has a Job."""
        return self._find(run_id) is not None

    def outcome(self, runner: Runner, pipeline: Pipeline, run_id: str) -> RunOutcome:
        """Return where a run stands, with the end of its log; only the records of its steps count as success.

        Raises:
            UserError: when there is no Job of the run.
        """
        job = self._find(run_id)
        if job is None:
            raise self._unknown(run_id)
        if _ended(job, "Complete"):
            return checked(runner, pipeline, run_id, "the Job is Complete")
        pods = self._pods(job)
        log = self.log(pods[-1].metadata.name) if pods else ()
        if failed := _ended(job, "Failed"):
            return self._failed(runner, pipeline, run_id, _state(pods) or f"{failed.reason}: {failed.message}", log)
        return RunOutcome("executing", _state(pods[-1:]), log)

    def cancel(self, run_id: str) -> None:
        """Stop a run and remove its Job; finished steps stay done.

        Raises:
            UserError: when there is no Job of the run.
        """
        job = self._find(run_id)
        if job is None:
            raise self._unknown(run_id)
        self._delete(job)

    def templates(self) -> dict[str, str]:
        """Return the manifests of Jobs that the stack offers: ``job.json``, and ``gpu.json`` where there are GPUs.

        Raises:
            UserError: when there is no namespace of it, or no template.
        """
        with asking("the template of Jobs"):
            try:
                return dict(self._core.read_namespaced_config_map("job", self.namespace).data or {})
            except ApiException as error:
                if error.status != 404:
                    raise
                raise UserError(f"namespace {self.namespace} has no ConfigMap 'job'; run 'make local-up'") from None

    def log(self, pod: str) -> tuple[str, ...]:
        """Return the last lines that a pod wrote; none before it starts."""
        with asking("a log"):
            try:
                text = self._core.read_namespaced_pod_log(pod, self.namespace, tail_lines=TAIL)
            except ApiException as error:
                if error.status in (400, 404):  # its container was not started yet, or the pod is gone
                    return ()
                raise
        return tuple((text or "").splitlines())  # None when it wrote nothing

    def _failed(self, runner: Runner, pipeline: Pipeline, run_id: str, reason: str, log: tuple[str, ...]) -> RunOutcome:
        """Explain a failure by the record of the failed step, or by its pod when that was killed."""
        for step in pipeline.steps:
            record = runner.record(run_id, step)
            if record is None:
                return RunOutcome("failed", f"{step}: {reason}", log)
            if record.status == "failed":
                return RunOutcome("failed", f"{step}: {record.error}", record.log[-TAIL:])
        return RunOutcome("failed", reason, log)

    def _template(self, gpu: bool) -> dict[str, Any]:
        key, found = "gpu.json" if gpu else "job.json", self.templates()
        if key not in found:
            raise UserError(f"this cluster's stack has no {key}: its settings name no GPU")
        return json.loads(found[key])  # type: ignore[no-any-return]

    def _find(self, run_id: str) -> "V1Job | None":
        with asking("a Job"):
            try:
                return self._batch.read_namespaced_job(job_name(run_id), self.namespace)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def _pods(self, job: "V1Job") -> "list[V1Pod]":
        with asking("pods"):
            label = f"batch.kubernetes.io/job-name={job.metadata.name}"
            pods = self._core.list_namespaced_pod(self.namespace, label_selector=label).items
        return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp)

    def _delete(self, job: "V1Job") -> None:
        """Delete this Job with its pods, but not a newer one of the same name; return when it is gone."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": job.metadata.uid}}
        with asking("the end of a Job"):
            try:
                self._batch.delete_namespaced_job(job.metadata.name, self.namespace, body=body)
            except ApiException as error:
                if error.status not in (404, 409):
                    raise
        deadline = time.monotonic() + _GONE_SECONDS
        while time.monotonic() < deadline:
            found = self._find(job.metadata.annotations["run-id"])
            if found is None or found.metadata.uid != job.metadata.uid:
                return
            time.sleep(0.2)
        raise UserError(f"Job {job.metadata.name} is not gone {_GONE_SECONDS} s after its end; look at its pods")

    def _unknown(self, run_id: str) -> UserError:
        return UserError(f"run {run_id!r} has no Job in {self.namespace}; 'mlops status' lists the latest runs")


def job_name(run_id: str) -> str:
    """Return the name of a run's Job: the run id as far as pod names allow, and a hash that makes it unique."""
    readable = re.sub(r"[^a-z0-9]+", "-", run_id.lower())[:40].strip("-")
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def _ended(job: "V1Job", how: str) -> Any:
    """Return the condition of this type that is true, or None."""
    conditions = job.status.conditions or []
    return next((one for one in conditions if one.type == how and one.status == "True"), None)


def _state(pods: "list[V1Pod]") -> str:
    """Return why the latest pod waits or ended, such as "Unschedulable: …" or "OOMKilled: exit code 137"."""
    for pod in reversed(pods):
        for condition in pod.status.conditions or []:
            if condition.type == "PodScheduled" and condition.status == "False":
                return f"{condition.reason}: {condition.message}"
        for container in pod.status.container_statuses or []:
            waiting, ended = container.state.waiting, container.state.terminated
            if waiting and waiting.reason not in ("ContainerCreating", "PodInitializing"):
                return f"{waiting.reason}: {waiting.message or ''}"
            if ended and ended.exit_code:
                return f"{ended.reason}: exit code {ended.exit_code}"
    return ""
