"""Prometheus, Alertmanager and Grafana: metrics, alarms and dashboards."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.local import alertmanager, grafana, prometheus
from infra.local.cluster import metadata, selector, within
from infra.local.components.mlflow import claim, service
from infra.local.components.watch import TOKEN, TOKEN_FOLDER
from infra.local.config import LocalConfig
from infra.local.pod import GRAFANA, NOBODY, Pod, Size, probe, scratch, template
from infra.names import Names
from pipelines.contracts.rendered import Rendered

PORTS = {"prometheus": prometheus.PORT, "alertmanager": alertmanager.PORT, "grafana": grafana.PORT}


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """The inputs of the monitoring.

    Attributes:
        names: the environment.
        config: its configuration.
        rendered: the pipelines and alarms of the project.
    """

    names: Names
    config: LocalConfig
    rendered: Rendered


class MonitoringServices(pulumi.ComponentResource):
    """The three servers; Grafana only where there is an image of it."""

    def __init__(self, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Monitoring", "monitoring", None, opts)
        self._names, self._child = args.names, within(self, opts)
        storage = args.config.storage
        k8s.core.v1.PersistentVolumeClaim(
            "metrics",
            metadata=metadata(args.names, "prometheus", "metrics"),
            spec=claim(storage.metrics, storage),
            opts=self._child,
        )
        for component, pod in pods(args).items():
            self._server(component, pod)
        self.register_outputs({})

    def _server(self, component: str, pod: Pod) -> None:
        names = self._names
        for name, content in pod.content.items():
            k8s.core.v1.ConfigMap(name, metadata=metadata(names, component, name), data=content, opts=self._child)
        k8s.apps.v1.Deployment(
            component,
            metadata=metadata(names, component),
            spec={
                "replicas": 1,
                "strategy": {"type": "Recreate"},  # the volume has one writer
                "selector": selector(names, component),
                "template": template(names, pod),
            },
            opts=self._child,
        )
        k8s.core.v1.Service(
            component,
            metadata=metadata(names, component),
            spec=service(names, component, PORTS[component]),
            opts=self._child,
        )


def pods(args: MonitoringArgs) -> dict[str, Pod]:
    """Return the pods by name; the content of each is its ConfigMaps."""
    names, images = args.names, args.config.images
    made = {
        "prometheus": Pod(
            component="prometheus",
            image=images.prometheus,
            size=Size(cpu="100m", most_cpu="1", memory="512Mi"),
            args=(
                "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
                "--storage.tsdb.retention.time=15d", f"--storage.tsdb.retention.size={args.config.storage.metrics}GB",
            ),
            volumes={
                "/etc/prometheus": _files("prometheus"),
                "/prometheus": {"persistentVolumeClaim": {"claimName": "metrics"}},
            },
            content={"prometheus": prometheus.files(names, args.rendered)},
            **_server("prometheus", "/-/ready", NOBODY),
        ),
        "alertmanager": Pod(
            component="alertmanager",
            image=images.alertmanager,
            size=Size(cpu="20m", most_cpu="200m", memory="128Mi"),
            args=(
                "--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager",
                "--cluster.listen-address=",  # it is alone
            ),
            volumes={
                "/etc/alertmanager": _files("alertmanager"),
                "/alertmanager": scratch("64Mi"),
                TOKEN_FOLDER: TOKEN,
            },
            content={"alertmanager": alertmanager.files(TOKEN_FOLDER)},
            **_server("alertmanager", "/-/ready", NOBODY),
        ),
    }  # fmt: skip
    if images.grafana:
        made["grafana"] = Pod(
            component="grafana",
            image=images.grafana,
            size=Size(cpu="50m", most_cpu="500m", memory="384Mi", disk="256Mi"),
            environ={
                **grafana.ENVIRON,
                "GF_SECURITY_ADMIN_PASSWORD": {"secretKeyRef": {"name": "grafana", "key": "password"}},
            },
            volumes={
                "/etc/grafana/provisioning/datasources": _files("grafana-sources"),
                "/etc/grafana/provisioning/dashboards": _files("grafana-providers"),
                grafana.DASHBOARDS: _files("grafana-dashboards"),
                "/var/lib/grafana": scratch("256Mi"),
            },
            content={
                "grafana-sources": {"prometheus.yaml": grafana.sources()},
                "grafana-providers": {"files.yaml": grafana.providers()},
                "grafana-dashboards": {
                    f"{name}.json": json.dumps(one, indent=1, sort_keys=True)
                    for name, one in grafana.dashboards(names, args.rendered).items()
                },
            },
            **_server("grafana", "/api/health", GRAFANA),
        )
    return made


def _server(component: str, path: str, user: int) -> dict[str, Any]:
    ready, live = (probe(path, PORTS[component], period=period, failures=6) for period in (5, 20))
    return {
        "port": PORTS[component],
        "user": user,
        "account": "monitoring",
        "container": {"readinessProbe": ready, "livenessProbe": {**live, "initialDelaySeconds": 30}},
    }


def _files(name: str) -> dict[str, Any]:
    return {"configMap": {"name": name}}
