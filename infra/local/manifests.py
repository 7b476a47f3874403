"""The cluster's part of a recording as manifests, and ``kubectl``, which applies and removes them."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from infra.local.cluster import PART_OF
from infra.names import Names
from infra.resource import Resource
from pipelines.config.errors import UserError

_FIRST = ("Namespace", "PriorityClass", "ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim")
_SHARED = "scheduling.k8s.io/v1"  # the one kind of ours that is in no namespace, besides the namespace itself


def manifests(resources: Sequence[Resource]) -> list[dict[str, Any]]:
    """Return the objects of the cluster, those first that others need."""
    found = [_whole(one.props) for one in resources if one.type.startswith("kubernetes:")]
    order = {kind: place for place, kind in enumerate(_FIRST)}
    return sorted(found, key=lambda one: (order.get(one["kind"], len(order)), one["kind"], one["metadata"]["name"]))


def _whole(value: Any) -> Any:
    """Return properties with whole numbers as such: Pulumi's protocol knows only floating ones."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Cluster:
    """A cluster by ``kubectl``, in a context of the kubeconfig; None is the current one."""

    def __init__(self, context: str | None, program: Sequence[str] = ("kubectl",)) -> None:
        self._command = [*program, *([f"--context={context}"] if context else [])]

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Apply the manifests on the server, which merges them and reports conflicts over fields."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self._run("apply", "--server-side", "--force-conflicts", "--field-manager=pulumi", "-f", "-", given=listed)

    def secret(self, names: Names, name: str) -> dict[str, str]:
        """Return the content of a Secret; empty when there is none."""
        template = "{{range $key, $value := .data}}{{$key}}={{$value | base64decode}}\n{{end}}"
        text = self._run("get", "secret", name, f"-n{names.prefix}", "--ignore-not-found", f"-ogo-template={template}")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def wait(self, names: Names, deployments: Sequence[str], seconds: int) -> None:
        """Wait until the pods of deployments are ready."""
        for name in deployments:
            self._run("rollout", "status", f"deployment/{name}", f"-n{names.prefix}", f"--timeout={seconds}s")

    def remove(self, names: Names) -> None:
        """Remove all of it, and wait until it is gone."""
        self._run("delete", "namespace", names.prefix, "--ignore-not-found", "--wait", "--timeout=180s")
        self._run("delete", "priorityclass", f"-l{PART_OF}={names.project}", "--ignore-not-found")

    def left(self, names: Names) -> list[str]:
        """Return what of the environment is still there, of every kind that the cluster knows."""
        kinds = self._run("api-resources", "--verbs=list", "-oname").split()
        found = self._run("get", ",".join(kinds), "-A", f"-l{PART_OF}={names.project}", "-oname", "--ignore-not-found")
        bound = "{range .items[*]}{.spec.claimRef.namespace} {.metadata.name}{'\\n'}{end}".replace("'", '"')
        volumes = self._run("get", "persistentvolumes", f"-ojsonpath={bound}")
        ours = [line.split()[1] for line in volumes.splitlines() if line.split()[:1] == [names.prefix]]
        return [*found.split(), *(f"persistentvolume/{name}" for name in ours)]

    def _run(self, *arguments: str, given: str | None = None) -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments], input=given, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise UserError(
                f"{self._command[0]} is not on the path: https://kubernetes.io/docs/tasks/tools has it for every system"
            ) from None
        if done.returncode:
            raise UserError(f"kubectl {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout
