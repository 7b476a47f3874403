"""The stores on AWS or on an emulator of it, as the environment's stack provisioned them."""

import tomllib
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from pipelines.adapters.aws.clients import asking, client
from pipelines.adapters.aws.document import read_stack
from pipelines.adapters.aws.objects import S3Objects
from pipelines.config import Problem, UserError, load_toml
from pipelines.contracts import Cloud, Stack
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.adapters.aws.metrics import CloudWatchGauges
    from pipelines.adapters.aws.online import DynamoOnline
    from pipelines.adapters.aws.queue import EventQueue
    from pipelines.adapters.aws.signer import KmsSigner
    from pipelines.registry.tracking import Tracking
    from pipelines.storage.tables import Tables

_ONLINE_SECONDS = 0.5  # of one attempt to read features for a request that somebody waits for


class AwsStores:
    """The part of :class:`pipelines.adapters.profile.Profile` that AWS and an emulator of it have in common."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings, self._root = settings, root

    @cached_property
    def stack(self) -> Stack:
        """What the environment's stack provisioned."""
        return read_stack(self._session, self.project, self._settings.environment)

    @cached_property
    def project(self) -> str:
        """The name that the stack's resources begin with."""
        file = self._root / "pyproject.toml"
        if self._settings.project:
            return self._settings.project
        if not file.exists():
            raise UserError(f"set RATCHET_PROJECT to the project's name: there is no {file} to read it from")
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"])

    @cached_property
    def objects(self) -> S3Objects:
        """S3."""
        store = self.stack.store
        return S3Objects(self.client("s3"), store.bucket, store.key, store.locked_days)

    @cached_property
    def tables(self) -> "Tables":
        """Iceberg tables on S3, their catalog in Glue; the bucket encrypts them by the stack's key."""
        return _tables(self.stack, self.client("glue"), self.client("glue", attempts=1), {})

    @cached_property
    def shared_tables(self) -> "Tables | None":
        """The tables of the environment that shares its raw rows, read by a role there that trusts ours."""
        lent = self.stack.lent
        if lent is None:
            return None
        with asking("STS"):
            answer = self.client("sts").assume_role(RoleArn=lent.role, RoleSessionName=self.stack.environment)
        keys = [answer["Credentials"][name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        session = boto3.Session(*keys, region_name=self._session.region_name)
        stack = read_stack(session, self.project, lent.environment)
        glue, glue_once = (client(session, "glue", stack.endpoint_url, attempts=attempts) for attempts in (18, 1))
        names = ("s3.access-key-id", "s3.secret-access-key", "s3.session-token")
        return _tables(stack, glue, glue_once, dict(zip(names, keys, strict=True)))

    @cached_property
    def online(self) -> "DynamoOnline":
        """DynamoDB."""
        from pipelines.adapters.aws.online import DynamoOnline

        views = Problem.load(self._settings.problem).views
        keep = max((view.ttl for view in views), default=timedelta()) + timedelta(days=1)
        reader = self.client("dynamodb", attempts=3, seconds=_ONLINE_SECONDS)
        return DynamoOnline(self.client("dynamodb"), self.stack.features.online, keep, reader)

    @cached_property
    def events(self) -> "EventQueue":
        """EventBridge and SQS."""
        from pipelines.adapters.aws.queue import EventQueue

        clients = self.client("events"), self.client("sqs")
        return EventQueue(*clients, self.stack.bus, self.stack.project, self.stack.queue)

    @cached_property
    def signer(self) -> "KmsSigner":
        """KMS."""
        from pipelines.adapters.aws.signer import KmsSigner

        return KmsSigner(self.client("kms"), self.stack.signer)

    @cached_property
    def metrics_sink(self) -> "CloudWatchGauges":
        """CloudWatch."""
        from pipelines.adapters.aws.metrics import CloudWatchGauges

        return CloudWatchGauges(self.client("cloudwatch"), self.stack.metrics)

    @cached_property
    def tracking(self) -> "Tracking | None":
        """The stack's MLflow, if it has one; a managed one is named by its ARN."""
        from pipelines.registry.tracking import Tracking

        uri = self.stack.mlflow
        return Tracking(uri, f"s3://{self.stack.store.bucket}/mlflow") if uri else None

    def client(self, service: str, *, attempts: int | None = None, seconds: float = 20) -> Any:
        """Return a client of a service; see :func:`pipelines.adapters.aws.clients.client`."""
        attempts = attempts or self._settings.attempts
        return client(self._session, service, self.stack.endpoint_url, attempts=attempts, seconds=seconds)

    @cached_property
    def _session(self) -> boto3.Session:
        """The SDK's session, in its configured region, or else in that of ``cloud.toml``."""
        session = boto3.Session()
        if session.region_name:
            return session
        return boto3.Session(region_name=load_toml(self._root / "cloud.toml", Cloud).region)


def _tables(stack: Stack, glue: Any, glue_once: Any, credentials: dict[str, str]) -> "Tables":
    """Return an environment's tables; without credentials their files are read by those of this process."""
    from pipelines.adapters.aws.catalog import glue_catalog
    from pipelines.storage.tables import Tables

    s3 = {"s3.region": stack.region, **credentials}
    if stack.endpoint_url:
        s3 |= {"s3.endpoint": stack.endpoint_url, "s3.force-virtual-addressing": "false"}
    load = partial(glue_catalog, glue, glue_once, f"s3://{stack.store.lake}/tables", s3)
    return Tables(load, f"{stack.features.catalog}_")
