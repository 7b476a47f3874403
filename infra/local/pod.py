"""The pods of the environment: unprivileged, with limits and a read-only root."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from infra.local.cluster import labels
from infra.names import Names

USER = 10001  # of the project's images
NOBODY = 65534  # of Prometheus' images
GRAFANA = 472

_CONTAINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Size:
    """The requests and limits of a container; memory is the same in both, so that a node is never overbooked."""

    cpu: str
    most_cpu: str
    memory: str
    disk: str = "64Mi"

    def resources(self) -> dict[str, dict[str, str]]:
        """Return the requests and limits."""
        at_all = {"memory": self.memory, "ephemeral-storage": self.disk}
        return {"requests": {"cpu": self.cpu, **at_all}, "limits": {"cpu": self.most_cpu, **at_all}}


@dataclass(frozen=True)
class Pod:
    """A pod of one container.

    Attributes:
        component: what it is a part of; its service account bears the name unless ``account`` is given.
        image: of the container.
        size: of the container.
        command, args: what it runs; by default what the image does.
        port: it listens on; None for what does not.
        environ: variables, besides the settings.
        settings: whether it has the environment's settings and the emulator's credentials as variables.
        volumes: by the path that they are mounted at.
        user: and group that it runs as.
        account: the service account.
        calls: whether it calls the Kubernetes API.
        content: what the pod must be replaced for when it changes, such as its configuration files.
        container, spec: what else the container and the pod have.
    """

    component: str
    image: str
    size: Size
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    port: int | None = None
    environ: dict[str, Any] = field(default_factory=dict)
    settings: bool = False
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    user: int = USER
    account: str | None = None
    calls: bool = False
    content: Any = None
    container: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


def template(names: Names, pod: Pod) -> dict[str, Any]:
    """Return the template of a pod."""
    volumes = {"/tmp": scratch("256Mi"), **pod.volumes}
    about: dict[str, Any] = {"labels": labels(names, pod.component)}
    if pod.content is not None:
        digest = hashlib.sha256(json.dumps(pod.content, sort_keys=True).encode()).hexdigest()
        about["annotations"] = {"checksum/configuration": digest}
    mounts = [{"name": _name(path), "mountPath": path, **_read_only(volume)} for path, volume in volumes.items()]
    container: dict[str, Any] = {
        "name": pod.component,
        "image": pod.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": pod.size.resources(),
        "securityContext": _CONTAINED,
        "volumeMounts": mounts,
        "env": [
            {"name": name, **({"value": value} if isinstance(value, str) else {"valueFrom": value})}
            for name, value in pod.environ.items()
        ],
    }
    if pod.settings:
        container["envFrom"] = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "emulator"}}]
    if pod.port:
        container["ports"] = [{"name": "http", "containerPort": pod.port}]
    for key, value in (("command", pod.command), ("args", pod.args)):
        if value:
            container[key] = list(value)
    return {
        "metadata": about,
        "spec": {
            "serviceAccountName": pod.account or pod.component,
            "automountServiceAccountToken": pod.calls,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": pod.user,
                "runAsGroup": pod.user,
                "fsGroup": pod.user,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{**container, **pod.container}],
            "volumes": [{"name": _name(path), **volume} for path, volume in volumes.items()],
            **pod.spec,
        },
    }


def scratch(size: str) -> dict[str, Any]:
    """Return a volume that lasts as long as the pod."""
    return {"emptyDir": {"sizeLimit": size}}


def probe(path: str, port: int, *, period: int, failures: int) -> dict[str, Any]:
    """Return a probe by HTTP, of a period in seconds, that so many failures in a row decide."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def probes(live: str, ready: str, port: int) -> dict[str, Any]:
    """Return the probes of a server: four minutes to start; no requests after 10 s unready, ended after 60 s dead."""
    return {
        "startupProbe": probe(live, port, period=2, failures=120),
        "readinessProbe": probe(ready, port, period=5, failures=2),
        "livenessProbe": probe(live, port, period=20, failures=3),
    }


def _read_only(volume: dict[str, Any]) -> dict[str, bool]:
    return {"readOnly": True} if "configMap" in volume or "secret" in volume else {}


def _name(path: str) -> str:
    return path.strip("/").replace("/", "-").replace(".", "-").lower()
