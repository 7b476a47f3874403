"""The namespace: only unprivileged pods, quotas on all of them together, and only the traffic that policies allow."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import labels, metadata, selector, within
from infra.local.config import LocalConfig
from infra.names import Names

API_PORTS = (443, 6443, 8443)  # of the API server: its service, and the usual ones of its own, minikube's the last


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """The inputs of the namespace: the environment, and its configuration."""

    names: Names
    config: LocalConfig


class Namespace(pulumi.ComponentResource):
    """The namespace; what is in it depends on this component."""

    def __init__(self, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Namespace", "namespace", None, opts)
        names = args.names
        about = {"name": names.prefix, "labels": {**labels(names, "namespace"), **restricted()}}
        self.namespace = k8s.core.v1.Namespace("namespace", metadata=about, opts=within(self, opts))
        child = pulumi.ResourceOptions(parent=self, depends_on=[self.namespace])
        k8s.core.v1.ResourceQuota(
            "quota", metadata=metadata(names, "namespace", "all"), spec={"hard": quota(args.config)}, opts=child
        )
        k8s.core.v1.LimitRange(
            "limits", metadata=metadata(names, "namespace", "one"), spec={"limits": limits()}, opts=child
        )
        for name, spec in policies(names, args.config).items():
            k8s.networking.v1.NetworkPolicy(name, metadata=metadata(names, "namespace", name), spec=spec, opts=child)
        self.register_outputs({"name": names.prefix})


def restricted() -> dict[str, str]:
    """Return the labels by which the cluster refuses pods that are not ``restricted``.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    modes = ("enforce", "audit", "warn")
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}


def quota(config: LocalConfig) -> dict[str, str]:
    """Return the quota of all pods together."""
    gpu = {f"requests.{config.gpu.resource}": "8"} if config.gpu else {}
    return {
        "requests.cpu": "6",
        "requests.memory": f"{config.memory_gib}Gi",
        "limits.memory": f"{config.memory_gib}Gi",
        "pods": "40",
        "count/jobs.batch": "100",
        "persistentvolumeclaims": "6",
        "services.nodeports": "0",
        "services.loadbalancers": "0",
        **gpu,
    }


def limits() -> list[dict[str, Any]]:
    """Return the default and the maximum of a container's resources."""
    return [
        {
            "type": "Container",
            "defaultRequest": {"cpu": "100m", "memory": "256Mi"},
            "default": {"cpu": "1", "memory": "256Mi"},
            "max": {"memory": "6Gi"},
        }
    ]


def policies(names: Names, config: LocalConfig) -> dict[str, dict[str, Any]]:
    """Return the network policies: all traffic is denied but what the parts need of each other and of the emulator."""
    ours = ("serving", "pipelines", "mlflow", "watch")  # they keep what they make on the emulator
    metrics = {"serving": 8080, "watch": 8000, "alertmanager": 9093}
    return {
        "deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        "names": _egress({}, [{"ports": [_port(53, "UDP"), _port(53)]}]),
        # Pods know the emulator by name alone, so any address is allowed on its port.
        "emulator": _egress(selector(names, *ours), [{"ports": [_port(config.emulator_port)]}]),
        "ask": _ingress(selector(names, "serving"), None, 8080),  # whoever reaches the cluster may ask the app
        "track": _ingress(selector(names, "mlflow"), [selector(names, "pipelines", "watch")], 5000),
        "tracked": _egress(selector(names, "pipelines", "watch"), [_to(selector(names, "mlflow"), 5000)]),
        "jobs": _egress(selector(names, "pipelines"), [{"ports": [_port(port) for port in API_PORTS]}]),
        # Processes that train together choose their ports.
        "together": {
            "podSelector": selector(names, "pipelines"),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": selector(names, "pipelines")}]}],
            "egress": [{"to": [{"podSelector": selector(names, "pipelines")}]}],
        },
        "scrape": _egress(
            selector(names, "prometheus"), [_to(selector(names, part), port) for part, port in metrics.items()]
        ),
        **{
            f"scraped-{part}": _ingress(selector(names, part), [selector(names, "prometheus")], port)
            for part, port in metrics.items()
            if part != "serving"
        },
        "alert": _egress(selector(names, "alertmanager"), [_to(selector(names, "watch"), 8000)]),
        "alerted": _ingress(selector(names, "watch"), [selector(names, "alertmanager")], 8000),
        "show": _egress(selector(names, "grafana"), [_to(selector(names, "prometheus"), 9090)]),
        "shown": _ingress(selector(names, "prometheus"), [selector(names, "grafana")], 9090),
    }


def _port(port: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"port": port, "protocol": protocol}


def _to(pods: dict[str, Any], port: int) -> dict[str, Any]:
    return {"to": [{"podSelector": pods}], "ports": [_port(port)]}


def _egress(pods: dict[str, Any], rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"podSelector": pods, "policyTypes": ["Egress"], "egress": rules}


def _ingress(pods: dict[str, Any], sources: list[dict[str, Any]] | None, port: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"ports": [_port(port)]}
    if sources:
        rule["from"] = [{"podSelector": one} for one in sources]
    return {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [rule]}
