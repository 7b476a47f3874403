"""The serving app: pods that follow the release log, so a release needs no rollout.

A pod that ends first leaves the service while it still answers; then the app drains and writes its prediction log
(``pipelines/serving/server.py``). So updates, scaling and evictions lose no request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import tomlkit

from infra.local.cluster import labels, metadata, selector, within
from infra.local.components.mlflow import service
from infra.local.config import Replicas
from infra.local.pod import Pod, Size, probes, template
from infra.names import Names
from pipelines.contracts.callers import CallerToken

PORT = 8080
LEAVING_SECONDS = 5  # until every node has heard that a pod takes no more requests
DRAINING_SECONDS = 25  # the app's drain, and the 20 s that it gives its workers
STARTING_SECONDS = 600  # after which a pod that is not ready fails the update
PODS = "serving-pods"
CALLERS, CALLERS_FOLDER = "callers", "/etc/callers"


@dataclass(frozen=True, kw_only=True)
class ClusterServingArgs:
    """The inputs of the app: the environment, its image, how many pods, and who may ask, by name; None is anyone."""

    names: Names
    image: str
    replicas: Replicas
    callers: Mapping[str, CallerToken] | None


class ClusterServing(pulumi.ComponentResource):
    """The app, its service, its scaling, and its disruption budget."""

    def __init__(self, args: ClusterServingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:ClusterServing", "serving", None, opts)
        names, child = args.names, within(self, opts)
        about, replicas = metadata(names, "serving"), args.replicas
        first = f"{names.prefix}-serving"
        priority = k8s.scheduling.v1.PriorityClass(
            "serving",
            metadata={"name": first, "labels": labels(names, "serving")},
            value=100_000,
            description="Requests are answered before runs are computed.",
            opts=child,
        )
        ready = [priority]
        if args.callers:
            content = {name: caller.model_dump(exclude_none=True) for name, caller in args.callers.items()}
            ready += [
                k8s.core.v1.ConfigMap(
                    CALLERS,
                    metadata=metadata(names, "serving", CALLERS),
                    data={f"{CALLERS}.toml": tomlkit.dumps({"callers": content})},
                    opts=child,
                )
            ]
        k8s.apps.v1.Deployment(
            "serving",
            metadata=about,
            spec={
                "replicas": replicas.least,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "minReadySeconds": replicas.bake_seconds,
                "progressDeadlineSeconds": replicas.bake_seconds + STARTING_SECONDS,
                "revisionHistoryLimit": 3,
                "selector": selector(names, "serving"),
                "template": template(names, app(names, args.image, first, bool(args.callers))),
            },
            # Scaling changes the number, and an update must not take that back.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=ready, ignore_changes=["spec.replicas"])
            ),
        )
        k8s.core.v1.Service("serving", metadata=about, spec=service(names, "serving", PORT), opts=child)
        k8s.core.v1.Service(
            PODS,
            metadata=metadata(names, "serving", PODS),
            spec={**service(names, "serving", PORT), "clusterIP": "None"},
            opts=child,
        )
        k8s.autoscaling.v2.HorizontalPodAutoscaler("serving", metadata=about, spec=scaling(replicas), opts=child)
        k8s.policy.v1.PodDisruptionBudget(
            "serving",
            metadata=about,
            spec={"maxUnavailable": 1, "selector": selector(names, "serving")},
            opts=child,
        )
        self.register_outputs({})


def app(names: Names, image: str, priority: str, has_callers: bool) -> Pod:
    """Return a pod of one process: the machine's cores are not the pod's, and more pods scale better.

    A running app reads the file of callers again when the cluster changes it.
    """
    command = ("mlops", "serve", "--host", "0.0.0.0", "--port", str(PORT))
    return Pod(
        component="serving",
        image=image,
        size=Size(cpu="250m", most_cpu="1", memory="512Mi", disk="256Mi"),
        command=command if has_callers else (*command, "--anyone"),
        port=PORT,
        settings=True,
        environ={"RATCHET_CALLERS": f"{CALLERS_FOLDER}/{CALLERS}.toml"} if has_callers else {},
        volumes={CALLERS_FOLDER: {"configMap": {"name": CALLERS}}} if has_callers else {},
        container={
            **probes("/live", "/ready", PORT),
            "lifecycle": {"preStop": {"sleep": {"seconds": LEAVING_SECONDS}}},
        },
        spec={
            "terminationGracePeriodSeconds": LEAVING_SECONDS + DRAINING_SECONDS,
            "priorityClassName": priority,
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",  # a laptop has one node
                    "labelSelector": selector(names, "serving"),
                }
                for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
            ],
        },
    )


def scaling(replicas: Replicas) -> dict[str, Any]:
    """Return the scaling: up at once with the load, down after five minutes of less."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": replicas.cpu_percent}}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serving"},
        "minReplicas": replicas.least,
        "maxReplicas": replicas.most,
        "metrics": [{"type": "Resource", "resource": cpu}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    }
