"""Runs of pipelines: the template of every Job, the scheduled ones, and the volume of checkpoints."""

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import labels, metadata, selector, within
from infra.local.components.mlflow import claim
from infra.local.config import Gpu, Storage
from infra.local.pod import Pod, Size, scratch, template
from infra.local.schedule import cron
from infra.names import Names
from pipelines.contracts.rendered import RenderedPipeline

MEETING_PORT = 29_500  # of processes that train together, as pipelines/training/torchrun.py has it
DRAINED = {"continuous_training": "rate(1 hour)"}  # the queue of triggers, which elsewhere a workflow drains
ATHENA = {"maintenance"}  # what Athena alone can do, which emulators do not have
_NUMBERED = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}


@dataclass(frozen=True, kw_only=True)
class JobsArgs:
    """The inputs of the runs.

    Attributes:
        names: the environment.
        image: of the steps.
        pipelines: of the project, by name.
        storage: of checkpoints.
        gpu: what steps ask for that need one.
    """

    names: Names
    image: str
    pipelines: dict[str, RenderedPipeline]
    storage: Storage
    gpu: Gpu | None


class PipelineJobs(pulumi.ComponentResource):
    """The template, the schedules, the volume of checkpoints, and the Service for distributed training."""

    def __init__(self, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Jobs", "jobs", None, opts)
        names, child = args.names, within(self, opts)
        k8s.core.v1.PersistentVolumeClaim(
            "checkpoints",
            metadata=metadata(names, "pipelines", "checkpoints"),
            spec=claim(args.storage.checkpoints, args.storage),
            opts=child,
        )
        plain = job(names, args.image)
        made = {"job.json": plain} | ({"gpu.json": with_gpu(plain, args.gpu)} if args.gpu else {})
        k8s.core.v1.ConfigMap(
            "job",
            metadata=metadata(names, "pipelines", "job"),
            data={name: json.dumps(one, sort_keys=True, indent=1) for name, one in made.items()},
            opts=child,
        )
        k8s.core.v1.Service(
            "training",
            metadata=metadata(names, "pipelines", "training"),
            spec={
                "clusterIP": "None",
                "selector": selector(names, "pipelines")["matchLabels"],
                "publishNotReadyAddresses": True,  # they look for each other before they work
                "ports": [{"name": "meeting", "port": MEETING_PORT}],
            },
            opts=child,
        )
        stated = {part: one.schedule for part, one in args.pipelines.items() if one.schedule and part not in ATHENA}
        for part, schedule in sorted({**stated, **DRAINED}.items()):
            name = part.replace("_", "-")
            k8s.batch.v1.CronJob(
                name,
                metadata=metadata(names, "pipelines", name),
                spec=scheduled(plain, part, cron(schedule)),
                opts=child,
            )
        self.register_outputs({})


def job(names: Names, image: str) -> dict[str, Any]:
    """Return a Job without name and command: image, service account and limits.

    An evicted pod, or one whose node disappears, does not count as an attempt.
    """
    pod = template(
        names,
        Pod(
            component="pipelines",
            image=image,
            size=Size(cpu="500m", most_cpu="2", memory="2Gi", disk="2Gi"),
            environ={"RATCHET_CHECKPOINTS": "/checkpoints"},
            settings=True,
            calls=True,
            volumes={
                "/checkpoints": {"persistentVolumeClaim": {"claimName": "checkpoints"}},
                "/tmp": scratch("2Gi"),
            },
            spec={"restartPolicy": "Never", "terminationGracePeriodSeconds": 30},
        ),
    )
    pod["spec"]["containers"][0]["name"] = "step"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": names.prefix, "labels": labels(names, "pipelines")},
        "spec": {
            "backoffLimit": 3,
            "ttlSecondsAfterFinished": 7 * 24 * 3600,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}],
            },
            "template": pod,
        },
    }


def with_gpu(plain: dict[str, Any], gpu: Gpu) -> dict[str, Any]:
    """Return a Job that needs a GPU, with its nodes and resources."""
    made = deepcopy(plain)
    pod = made["spec"]["template"]["spec"]
    pod["nodeSelector"] = gpu.nodes
    pod["tolerations"] = [{"key": gpu.taint, "operator": "Exists", "effect": "NoSchedule"}]
    for asked in pod["containers"][0]["resources"].values():
        asked[gpu.resource] = str(gpu.count)
    return made


def scheduled(plain: dict[str, Any], pipeline: str, schedule: str) -> dict[str, Any]:
    """Return a CronJob's specification; a run is named after its Job, so that another attempt resumes it.

    ``job`` is ``mlops`` for Jobs: a refusal, such as a candidate that its gates refuse, is no failure to try again.
    """
    made = deepcopy(plain)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["command"] = ["job", "run", pipeline, "--run-id", "$(RUN_ID)"]
    container["env"] = [*container["env"], {"name": "RUN_ID", "valueFrom": _NUMBERED}]
    return {
        "schedule": schedule,
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]},
    }
