"""MLflow's server, in which people browse runs and versions. No deployment depends on it."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.local.cluster import host, metadata, selector, within
from infra.local.config import Storage
from infra.local.pod import Pod, Size, probes, template
from infra.names import Names

PORT = 5000
_FOLDER = "/mlflow"


@dataclass(frozen=True, kw_only=True)
class MlflowArgs:
    """The inputs of the server.

    Attributes:
        names: the environment.
        image: of the steps, which has MLflow.
        storage: its volume.
    """

    names: Names
    image: str
    storage: Storage


class Mlflow(pulumi.ComponentResource):
    """The server with its volume."""

    def __init__(self, args: MlflowArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Mlflow", "mlflow", None, opts)
        names, child = args.names, within(self, opts)
        k8s.core.v1.PersistentVolumeClaim(
            "mlflow", metadata=metadata(names, "mlflow"), spec=claim(args.storage.mlflow, args.storage), opts=child
        )
        k8s.apps.v1.Deployment(
            "mlflow",
            metadata=metadata(names, "mlflow"),
            spec={
                "replicas": 1,
                "strategy": {"type": "Recreate"},  # one process writes the SQLite file
                "selector": selector(names, "mlflow"),
                "template": template(names, server(names, args.image)),
            },
            opts=child,
        )
        k8s.core.v1.Service(
            "mlflow", metadata=metadata(names, "mlflow"), spec=service(names, "mlflow", PORT), opts=child
        )
        self.register_outputs({"address": address(names)})


def address(names: Names) -> str:
    """Return the URL of the server, for pods."""
    return f"http://{host(names, 'mlflow')}:{PORT}"


def server(names: Names, image: str) -> Pod:
    """Return the pod: one worker, its database on the volume, artifacts in the store, where clients put them."""
    # MLflow refuses other names of itself, so that no page that somebody visits can ask it (DNS rebinding).
    hosts = ",".join(f"{name}:{PORT}" for name in ("localhost", "127.0.0.1", "mlflow", host(names, "mlflow")))
    command = (
        "mlflow", "server", "--host", "0.0.0.0", "--port", str(PORT), "--workers", "1", "--allowed-hosts", hosts,
        "--backend-store-uri", f"sqlite:///{_FOLDER}/mlflow.db", "--default-artifact-root",
        f"s3://{names.bucket('store')}/mlflow", "--no-serve-artifacts",
    )  # fmt: skip
    return Pod(
        component="mlflow",
        image=image,
        size=Size(cpu="100m", most_cpu="1", memory="1Gi"),
        command=command,
        port=PORT,
        environ={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # nothing here uses it, and it doubles the memory
        settings=True,
        volumes={_FOLDER: {"persistentVolumeClaim": {"claimName": "mlflow"}}},
        container=probes("/health", "/health", PORT),
    )


def claim(gib: int, storage: Storage) -> dict[str, object]:
    """Return a claim of a volume that one node writes to."""
    chosen = {"storageClassName": storage.storage_class} if storage.storage_class else {}
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{gib}Gi"}}, **chosen}


def service(names: Names, component: str, port: int) -> dict[str, object]:
    """Return a service within the cluster."""
    ports = [{"name": "http", "port": port, "targetPort": "http"}]
    return {"type": "ClusterIP", "selector": selector(names, component)["matchLabels"], "ports": ports}
