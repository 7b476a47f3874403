"""The watch: judges the live release each minute, exposes the environment's metrics, and turns alerts into events."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import metadata, selector, within
from infra.local.components.mlflow import service
from infra.local.pod import Pod, Size, probes, template
from infra.names import Names

PORT = 8000
TOKEN = {"secret": {"secretName": "alerts", "defaultMode": 0o440}}
TOKEN_FOLDER = "/etc/alerts"  # noqa: S105  (where it is, not what)


@dataclass(frozen=True, kw_only=True)
class WatchArgs:
    """The inputs of the watch: the environment, and the image of the steps."""

    names: Names
    image: str


class WatchDeployment(pulumi.ComponentResource):
    """The watch; two at once would do no harm, because the release log takes only the first of two moves."""

    def __init__(self, args: WatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Watch", "watch", None, opts)
        names, child = args.names, within(self, opts)
        k8s.apps.v1.Deployment(
            "watch",
            metadata=metadata(names, "watch"),
            spec={
                "replicas": 1,
                "selector": selector(names, "watch"),
                "template": template(names, watch(args.image)),
            },
            opts=child,
        )
        k8s.core.v1.Service("watch", metadata=metadata(names, "watch"), spec=service(names, "watch", PORT), opts=child)
        self.register_outputs({})


def watch(image: str) -> Pod:
    """Return the pod."""
    return Pod(
        component="watch",
        image=image,
        size=Size(cpu="100m", most_cpu="1", memory="768Mi"),
        command=(
            "mlops", "watch", "--host", "0.0.0.0", "--port", str(PORT), "--token-file", f"{TOKEN_FOLDER}/token",
        ),
        port=PORT,
        settings=True,
        volumes={TOKEN_FOLDER: TOKEN},
        container=probes("/ping", "/ping", PORT),
    )  # fmt: skip
