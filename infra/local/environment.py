"""The local environment: the stores of AWS on an emulator, computation in a cluster, and the same document."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from infra.aws.components.events import Events, EventsArgs
from infra.aws.components.keys import Keys, KeysArgs
from infra.aws.components.lake import Lake, LakeArgs
from infra.aws.components.notices import Notices, NoticesArgs
from infra.aws.components.online import Online, OnlineArgs
from infra.aws.document import DocumentArgs, named, write
from infra.local.components.identity import ClusterIdentity, ClusterIdentityArgs
from infra.local.components.jobs import JobsArgs, PipelineJobs
from infra.local.components.mlflow import Mlflow, MlflowArgs, address
from infra.local.components.monitoring import MonitoringArgs, MonitoringServices
from infra.local.components.namespace import Namespace, NamespaceArgs
from infra.local.components.serving import ClusterServing, ClusterServingArgs
from infra.local.components.settings import SettingsArgs, SettingsMap
from infra.local.components.watch import WatchArgs, WatchDeployment
from infra.local.config import LocalConfig
from infra.names import Names
from pipelines.contracts.rendered import Rendered

RETENTION_DAYS = 30


@dataclass(frozen=True)
class LocalWanted:
    """The inputs of the local environment: its names and configuration, and the rendered pipelines."""

    names: Names
    config: LocalConfig
    rendered: Rendered


class LocalEnvironment(pulumi.ComponentResource):
    """The emulator's resources first, because pods need them at their start; then the cluster's.

    Attributes:
        document: the address of the document that describes it.
    """

    def __init__(self, wanted: LocalWanted) -> None:
        names, config = wanted.names, wanted.config
        providers = [_aws(wanted), k8s.Provider("kubernetes", context=config.context)]
        super().__init__(
            "mlops:infra:LocalEnvironment", names.prefix, None, pulumi.ResourceOptions(providers=providers)
        )
        self._wanted, child = wanted, pulumi.ResourceOptions(parent=self)
        keys = Keys(KeysArgs(names=names, production=False), child)
        key = keys.data.arn
        lake = Lake(
            LakeArgs(names=names, key=key, production=False, retention_days=RETENTION_DAYS, emulated=True), child
        )
        online = Online(OnlineArgs(names=names, key=key, production=False), child)
        notices = Notices(NoticesArgs(names=names, key=key, contacts=(), adopted=None), child)
        events = Events(EventsArgs(names=names, key=key, topic=notices.topic), child)
        told = self._told(keys, notices, events)
        self.document = write(DocumentArgs(names=names, key=key, told=told, ready=lake.store.ready), child)
        self._compute(pulumi.ResourceOptions(parent=self, depends_on=[lake, online, events]))
        self.register_outputs({"document": self.document})

    def _compute(self, child: pulumi.ResourceOptions) -> None:
        """Make what is in the cluster."""
        names, config, rendered = self._wanted.names, self._wanted.config, self._wanted.rendered
        serve, steps = (config.images.of(names.project, target) for target in ("serve", "steps"))
        namespace = Namespace(NamespaceArgs(names=names, config=config), child)
        inside = pulumi.ResourceOptions(parent=self, depends_on=[namespace])
        identity = ClusterIdentity(ClusterIdentityArgs(names=names), inside)
        settings = SettingsMap(SettingsArgs(names=names, config=config), inside)
        ready = pulumi.ResourceOptions(parent=self, depends_on=[identity, settings])
        mlflow = Mlflow(MlflowArgs(names=names, image=steps, storage=config.storage), ready)
        ClusterServing(
            ClusterServingArgs(names=names, image=serve, replicas=config.replicas, callers=config.callers), ready
        )
        PipelineJobs(
            JobsArgs(names=names, image=steps, pipelines=rendered.pipelines, storage=config.storage, gpu=config.gpu),
            ready,
        )
        WatchDeployment(
            WatchArgs(names=names, image=steps),
            pulumi.ResourceOptions(parent=self, depends_on=[identity, settings, mlflow]),
        )
        MonitoringServices(MonitoringArgs(names=names, config=config, rendered=rendered), ready)

    def _told(self, keys: Keys, notices: Notices, events: Events) -> dict[str, Any]:
        """Return the fields of the document, as :func:`infra.aws.document.fields` does for an environment on AWS."""
        names, config = self._wanted.names, self._wanted.config
        return {
            **named(names, keys.data.arn),
            "endpoint_url": config.emulator,
            "compute": {
                "image": config.images.of(names.project, "steps"),
                "role": f"system:serviceaccount:{names.prefix}:pipelines",
            },
            "signer": keys.signer.arn,
            "queue": events.queue.url,
            "operations": events.operations.url,
            "alarms": notices.topic,
            "mlflow": address(names),
        }


def _aws(wanted: LocalWanted) -> aws.Provider:
    """Return the provider of the emulator, which ``AWS_ENDPOINT_URL`` names to it."""
    names = wanted.names
    tags = {**names.tags, "owner": "local", "production": "false"}
    return aws.Provider(
        "aws",
        region=names.region,
        allowed_account_ids=[names.account],
        default_tags={"tags": tags},
        s3_use_path_style=True,  # its buckets have no names in the DNS
    )
