"""An environment: its components in the order of their dependencies, and the document that describes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.components.backup import Backup, BackupArgs
from infra.aws.components.cost import Cost, CostArgs
from infra.aws.components.dispatch import DispatchArgs, DispatchFunction
from infra.aws.components.events import Events, EventsArgs
from infra.aws.components.identity import Identity, IdentityArgs
from infra.aws.components.keys import Keys, KeysArgs
from infra.aws.components.lake import Lake, LakeArgs
from infra.aws.components.monitors import Monitors, MonitorsArgs
from infra.aws.components.network import Network, NetworkArgs
from infra.aws.components.notices import Notices, NoticesArgs
from infra.aws.components.online import Online, OnlineArgs
from infra.aws.components.pipelines import Pipelines, PipelinesArgs
from infra.aws.components.registry import Registry, RegistryArgs
from infra.aws.components.release_tick import ReleaseTick, ReleaseTickArgs
from infra.aws.components.serving import ServingArgs, ServingEndpoint
from infra.aws.config import Config
from infra.aws.document import DocumentArgs, FoundResources, fields, write
from infra.names import Names
from pipelines.contracts.rendered import Rendered, training_places


@dataclass(frozen=True)
class Wanted:
    """The inputs of an environment.

    Attributes:
        names: where it is and what its parts are called.
        config: what a person decided.
        rendered: pipelines and alarms of the project.
        max_monthly_usd: the environment's part of the budget.
        contacts: e-mail addresses that alarms go to.
        live: returns the name of the configuration that an endpoint of a region has now; None to ask nobody.
    """

    names: Names
    config: Config
    rendered: Rendered
    max_monthly_usd: float
    contacts: tuple[str, ...]
    live: Callable[[str, str], str] | None


class Environment(pulumi.ComponentResource):
    """Everything that the pipelines use in an environment.

    Attributes:
        document: the address of the document that describes it.
        serving: the endpoint; None until there is an image.
    """

    def __init__(self, wanted: Wanted) -> None:
        names, config = wanted.names, wanted.config
        super().__init__(
            "mlops:infra:Environment", names.prefix, None, pulumi.ResourceOptions(providers=[_aws(wanted)])
        )
        self._wanted, self._child = wanted, pulumi.ResourceOptions(parent=self)
        self._running: list[pulumi.Resource] = []
        self.keys = Keys(KeysArgs(names=names, production=config.production), self._child)
        key = self.keys.data.arn
        self.lake = Lake(
            LakeArgs(names=names, key=key, production=config.production, retention_days=config.retention_days),
            self._child,
        )
        self.online = Online(OnlineArgs(names=names, key=key, production=config.production), self._child)
        network = Network(NetworkArgs(names=names, adopted=config.adopt.vpc), self._child) if config.in_vpc else None
        self._subnets = network.subnets if network else []
        self._groups = network.security_groups if network else []
        app_key = config.dispatch.key if config.dispatch else None
        lender = config.adopt.data.role if config.adopt.data else None
        self.identity = Identity(
            IdentityArgs(
                names=names,
                data_key=key,
                signer=self.keys.signer.arn,
                subnets=self._subnets,
                readers=config.readers,
                lender=lender,
                app_key=app_key,
            ),
            self._child,
        )
        self.notices = Notices(
            NoticesArgs(names=names, key=key, contacts=wanted.contacts, adopted=config.adopt.topic), self._child
        )
        self.events = Events(EventsArgs(names=names, key=key, topic=self.notices.topic), self._child)
        mlflow, ready = self.identity.ready("mlflow"), self.lake.store.ready
        self.registry = Registry(
            RegistryArgs(
                names=names, managed=config.managed_mlflow, adopted=config.adopt.mlflow, role=mlflow, ready=ready
            ),
            self._child,
        )
        self.serving = self._run(config.image) if config.image else None
        monitors = Monitors(MonitorsArgs(names=names, rendered=wanted.rendered, topic=self.notices.topic), self._child)
        parts: list[pulumi.Resource] = [self.keys, self.lake, self.online, self.identity, self.notices, self.events]
        parts += [self.registry, *([network] if network else []), *self._running, monitors, *self._guard()]
        document = DocumentArgs(
            names=names, key=key, told=fields(self._found()), ready=ready, parts=parts, production=config.production
        )
        self.document = write(document, self._child)
        self.register_outputs({"document": self.document})

    def _run(self, image: str) -> ServingEndpoint:
        """Create what runs the image: pipelines, the release tick, the endpoint."""
        names, key, config, identity = self._wanted.names, self.keys.data.arn, self._wanted.config, self.identity
        schedules, dead = self.events.schedules.name, self.events.dead.arn
        pipelines = Pipelines(
            PipelinesArgs(
                names=names,
                rendered=self._wanted.rendered.pipelines,
                places=self._places(image),
                role=identity.ready("jobs"),
                scheduler=identity.ready("scheduler"),
                group=schedules,
                dead=dead,
                key=key,
            ),
            self._child,
        )
        tick = ReleaseTick(
            ReleaseTickArgs(
                names=names,
                image=image,
                role=identity.ready("tick"),
                scheduler=identity.ready("scheduler"),
                key=key,
                subnets=self._subnets,
                security_groups=self._groups,
                dead=dead,
                topic=self.notices.topic,
                group=schedules,
                retention_days=config.retention_days,
            ),
            self._child,
        )
        self._running = [pipelines, tick]
        if config.dispatch:
            told = identity.ready("dispatch")
            dispatch = DispatchFunction(
                DispatchArgs(
                    names=names,
                    image=image,
                    role=told,
                    key=key,
                    bus=self.events.bus.name,
                    dead=dead,
                    topic=self.notices.topic,
                    retention_days=config.retention_days,
                ),
                self._child,
            )
            self._running.append(dispatch)
        serving = ServingEndpoint(
            ServingArgs(
                names=names,
                image=image,
                serving=config.serving,
                role=identity.ready("serving"),
                key=key,
                subnets=self._subnets,
                security_groups=self._groups,
                actions=[self.notices.topic, tick.function],
                retention_days=config.retention_days,
                live=self._wanted.live,
            ),
            self._child,
        )
        self._running.append(serving)
        return serving

    def _places(self, image: str) -> dict[str, Any]:
        """Return the values of the placeholders in rendered pipelines."""
        names = self._wanted.names
        return {
            "project": names.project,
            "environment": names.environment,
            "account": names.account,
            "region": names.region,
            "image": image,
            "role": names.role_arn("jobs"),
            "bucket": names.bucket("store"),
            "lake": names.bucket("lake"),
            "key": self.keys.data.arn,
            **training_places(self._wanted.config.training),
            "subnets": self._subnets,
            "security_groups": self._groups,
        }

    def _guard(self) -> list[pulumi.Resource]:
        """Create the budget and the backups."""
        names, config = self._wanted.names, self._wanted.config
        cost = Cost(
            CostArgs(
                names=names,
                max_monthly_usd=self._wanted.max_monthly_usd,
                topic=self.notices.topic,
                identity=self.identity,
                bus=self.events.bus.arn,
                group=self.events.schedules.name,
                adopted=config.adopt.budget,
                expires=config.expires,
            ),
            self._child,
        )
        if not config.backup_days:
            return [cost]
        kept = [self.lake.store.bucket.arn, self.lake.tables.bucket.arn, self.online.table.arn]
        backup = BackupArgs(
            names=names,
            days=config.backup_days,
            key=self.keys.data.arn,
            identity=self.identity,
            resources=kept,
            production=config.production,
        )
        return [cost, Backup(backup, self._child)]

    def _found(self) -> FoundResources:
        return FoundResources(
            names=self._wanted.names,
            config=self._wanted.config,
            key=self.keys.data.arn,
            signer=self.keys.signer.arn,
            jobs=self.identity.jobs.arn,
            subnets=self._subnets,
            security_groups=self._groups,
            queue=self.events.queue.url,
            operations=self.events.operations.url,
            topic=self.notices.topic,
            mlflow=self.registry.address,
            endpoint=self.serving.endpoint if self.serving else None,
        )


def _aws(wanted: Wanted) -> aws.Provider:
    """Return the provider of the environment's account and region, which tags all that it creates."""
    names, config = wanted.names, wanted.config
    tags = {**names.tags, "owner": config.owner, "production": str(config.production).lower()}
    if config.expires:
        tags["expires"] = str(config.expires)
    if config.adopt.budget:
        tags["budget"] = config.adopt.budget
    return aws.Provider(
        "aws",
        region=names.region,
        allowed_account_ids=[names.account],
        default_tags={"tags": tags},
        s3_use_path_style=True if config.emulator else None,  # its buckets have no names in the DNS
    )
