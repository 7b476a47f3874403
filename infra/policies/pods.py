"""The rules for what is in a cluster: each is a function from the resources to a line for every violation."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from infra.local.cluster import COMPONENT, PART_OF
from infra.resource import Resource

_TAGGED = re.compile(r"^[^@]+:(?!latest$)[\w][\w.-]*$|@sha256:[0-9a-f]{64}$")
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_WIDE = {"*", "bind", "escalate", "impersonate"}


class Container(NamedTuple):
    """A container, the pod that it is in, and how both are called in a violation."""

    named: str
    spec: dict[str, Any]
    pod: dict[str, Any]


def unprivileged(resources: Sequence[Resource]) -> Iterator[str]:
    """No container runs as root, has a capability of it, or can come to have one."""
    for one in _containers(resources):
        context = {**one.pod.get("securityContext", {}), **one.spec.get("securityContext", {})}
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{one.named} may run as root: set runAsNonRoot and runAsUser"
        if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
            yield f"{one.named} may gain privileges: set allowPrivilegeEscalation false"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{one.named} has capabilities: drop ALL, add none"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{one.named} may make every system call: set seccompProfile RuntimeDefault"


def read_only_root(resources: Sequence[Resource]) -> Iterator[str]:
    """No container writes to its own root."""
    for one in _containers(resources):
        if one.spec.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{one.named} may write to its root: set readOnlyRootFilesystem, mount an emptyDir where it writes"


def limited(resources: Sequence[Resource]) -> Iterator[str]:
    """Every container asks for processor and memory, and has a limit of both."""
    for one in _containers(resources):
        for kind in ("requests", "limits"):
            missing = {"cpu", "memory"} - one.spec.get("resources", {}).get(kind, {}).keys()
            if missing:
                yield f"{one.named} has no {kind} of {' and '.join(sorted(missing))}"


def apart_from_the_node(resources: Sequence[Resource]) -> Iterator[str]:
    """No pod shares the node's files, network or processes."""
    for one in _containers(resources):
        shared = [name for name in _HOST if one.pod.get(name)]
        shared += [
            f"hostPath {volume['hostPath'].get('path')}" for volume in one.pod["volumes"] if "hostPath" in volume
        ]
        shared += [f"hostPort {port['hostPort']}" for port in one.spec.get("ports", []) if port.get("hostPort")]
        if shared:
            yield f"{one.named} shares with its node: {', '.join(shared)}"


def pinned_images(resources: Sequence[Resource]) -> Iterator[str]:
    """Every image has a tag that is not latest, or a digest."""
    for one in _containers(resources):
        if not _TAGGED.search(one.spec.get("image", "")):
            yield f"{one.named} runs {one.spec.get('image')}, which may be another image tomorrow: name a tag or digest"


def narrow_roles(resources: Sequence[Resource]) -> Iterator[str]:
    """Roles are of the namespace, and name what may be done to what; no pod has the default service account."""
    for one in resources:
        kind = one.type.rpartition(":")[2]
        if kind.startswith("ClusterRole"):
            yield f"{kind} {one.name!r} reaches beyond the namespace"
        for rule in one.props.get("rules") or () if kind == "Role" else ():
            wide = _WIDE & {*rule.get("verbs", ()), *rule.get("resources", ()), *rule.get("apiGroups", ())}
            if wide or "secrets" in rule.get("resources", ()):
                yield f"Role {one.name!r} allows too much: {', '.join(sorted(wide)) or 'secrets'}"
    for container in _containers(resources):
        if container.pod.get("serviceAccountName", "default") == "default":
            yield f"{container.named} has the default service account"


def labelled(resources: Sequence[Resource]) -> Iterator[str]:
    """Everything bears the labels by which it is found and removed."""
    for one in resources:
        if one.type.startswith("kubernetes:"):
            missing = {PART_OF, COMPONENT} - (one.props.get("metadata", {}).get("labels") or {}).keys()
            if missing:
                yield f"{one.type.rpartition(':')[2]} {one.name!r} lacks the labels {', '.join(sorted(missing))}"


RULES: tuple[Callable[[Sequence[Resource]], Iterator[str]], ...] = (
    unprivileged,
    read_only_root,
    limited,
    apart_from_the_node,
    pinned_images,
    narrow_roles,
    labelled,
)


def _containers(resources: Sequence[Resource]) -> Iterator[Container]:
    """Yield every container of a Deployment, a CronJob, a Job, a pod, or of the templates of Jobs in a ConfigMap."""
    for one in resources:
        kind = one.type.rpartition(":")[2]
        texts = (one.props.get("data") or {}).items() if kind == "ConfigMap" and one.name == "job" else ()
        specs = [(kind, one.props), *((name, json.loads(text)) for name, text in texts)]
        for named, props in specs:
            pod = _pod(props.get("spec") or {})
            for container in [*pod.get("initContainers", ()), *pod.get("containers", ())]:
                yield Container(f"{named} {one.name!r}", container, {"volumes": [], **pod})


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the pod within a specification, however deep it lies."""
    for key in ("jobTemplate", "template"):
        if key in spec:
            return _pod(spec[key].get("spec") or {})
    return spec if "containers" in spec else {}
