"""Service accounts of the pods; only that of the pipelines may call the Kubernetes API."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import metadata, within
from infra.names import Names

ACCOUNTS = ("mlflow", "monitoring", "pipelines", "serving", "watch")


@dataclass(frozen=True, kw_only=True)
class ClusterIdentityArgs:
    """Of which environment."""

    names: Names


class ClusterIdentity(pulumi.ComponentResource):
    """The service accounts, and their permissions."""

    def __init__(self, args: ClusterIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:ClusterIdentity", "identity", None, opts)
        names, child = args.names, within(self, opts)
        for name in ACCOUNTS:
            k8s.core.v1.ServiceAccount(
                name, metadata=metadata(names, name), automount_service_account_token=False, opts=child
            )
        role = k8s.rbac.v1.Role("pipelines", metadata=metadata(names, "pipelines"), rules=jobs(), opts=child)
        k8s.rbac.v1.RoleBinding(
            "pipelines",
            metadata=metadata(names, "pipelines"),
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pipelines"},
            subjects=[{"kind": "ServiceAccount", "name": "pipelines", "namespace": names.prefix}],
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[role])),
        )
        self.register_outputs({})


def jobs() -> list[dict[str, Any]]:
    """Return the permissions of a run: start and end Jobs of the namespace, and read their state."""
    return [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["job"], "verbs": ["get"]},
    ]
