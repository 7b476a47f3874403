"""The configuration of an environment in ``Pulumi.<stack>.yaml``; everything else follows from it."""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pipelines.config.errors import UserError
from pipelines.config.strict import StrictModel, explain
from pipelines.contracts import stack
from pipelines.contracts.quotas import quotas

INSTANCE = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
IMAGE = r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$"
ROLE = r"^arn:aws:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+$"
_ACCELERATED = re.compile(r"^ml\.(p|g|inf|trn)\d")

Account = Annotated[str, BeforeValidator(lambda given: f"{given:012d}" if type(given) is int else given)]
"""Twelve digits; ``pulumi config set --path`` writes them as a number."""


class Serverless(StrictModel):
    """An endpoint that costs nothing without requests; it has neither a VPC nor a GPU.

    Attributes:
        memory_mb: of each worker; the processor grows with it.
        max_concurrency: requests at once, over which callers are throttled.
    """

    kind: Literal["serverless"]
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 3072
    max_concurrency: int = Field(default=5, ge=1, le=200)


class RealTime(StrictModel):
    """An endpoint on instances that scales with its load.

    Attributes:
        instance: the type, such as ``ml.m5.large``.
        min_instances: also the number it starts with.
        max_instances: what scaling stops at.
        requests_per_minute: of each instance, which scaling aims at.
    """

    kind: Literal["real-time"]
    instance: str = Field(pattern=INSTANCE)
    min_instances: int = Field(default=1, ge=1)
    max_instances: int = Field(default=2, ge=1)
    requests_per_minute: int = Field(default=6000, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_instances > self.max_instances:
            raise ValueError(f"min_instances {self.min_instances} is more than max_instances {self.max_instances}")
        return self


class TrainingSettings(stack.TrainingResources):
    """The training of the document, within the limits of SageMaker."""

    instance: str = Field(default="ml.m5.xlarge", pattern=INSTANCE)
    gpu_instance: str | None = Field(default=None, pattern=INSTANCE)
    instances: int = Field(default=1, ge=1, le=32)
    max_hours: int = Field(default=4, ge=1, le=120)
    warm_minutes: int = Field(default=0, ge=0, le=60)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.gpu_instance and not _ACCELERATED.match(self.gpu_instance):
            raise ValueError(f"gpu_instance {self.gpu_instance} has no GPU; the families ml.g* and ml.p* do")
        if self.spot and self.warm_minutes:
            raise ValueError("warm_minutes and spot exclude each other: SageMaker keeps no spot instances warm")
        return self


class Vpc(StrictModel):
    """An existing VPC, whose subnets reach the services of AWS.

    Attributes:
        id: of the VPC.
        subnets: two or more, in different zones.
        security_groups: for jobs and the endpoint.
    """

    id: str = Field(pattern=r"^vpc-[0-9a-f]+$")
    subnets: tuple[str, ...] = Field(min_length=2)
    security_groups: tuple[str, ...] = Field(min_length=1)


class Adopted(StrictModel):
    """Existing resources that the environment uses instead of its own.

    Attributes:
        vpc: in place of a network of its own.
        mlflow: ARN of a SageMaker MLflow, or the URL of a server.
        budget: name of a budget that covers the environment; its owner answers for the stop action.
        topic: ARN of the SNS topic of alarms.
        data: the raw tables of another environment in the same region, whose ``readers`` name this one's jobs.
    """

    vpc: Vpc | None = None
    mlflow: str | None = Field(default=None, pattern=r"^(arn:aws:sagemaker:|https://)\S+$")
    budget: str | None = None
    topic: str | None = Field(default=None, pattern=r"^arn:aws:sns:[a-z0-9-]+:\d{12}:\S+$")
    data: stack.Lent | None = None


class Config(StrictModel):
    """An environment.

    Attributes:
        account: of AWS, twelve digits; the program refuses any other.
        region: where it differs from ``cloud.toml``.
        owner: whom a bill or an alarm concerns; a tag.
        production: protected against deletion, backed up, its audit records locked.
        image: of the project, by digest, in this account; None until the first was pushed.
        network: ``private`` subnets with endpoints for the services of AWS, or ``none``.
        serving: the endpoint.
        training: the jobs.
        mlflow: a managed MLflow App, or ``none``; an App unless the network is ``private``, which cannot reach it.
        budget_percent: of the ``monthly_budget`` in ``cloud.toml``.
        contacts: e-mail addresses that alarms go to; those of the authors in pyproject.toml unless stated.
        retention_days: of logs and predictions, and of data that was replaced.
        backup_days: of daily backups; 0 for none.
        expires: the day on which the environment asks to be torn down.
        dispatch: the GitHub App that starts workflows on triggers; None to let them poll.
        adopt: existing resources to use.
        readers: ARNs of roles that may read the raw tables, such as of the jobs of the environment that trains.
        emulator: URL of an emulator of AWS in place of AWS; ``AWS_ENDPOINT_URL`` names it to Pulumi as well.
    """

    account: Account = Field(pattern=r"^\d{12}$")
    region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    owner: str = Field(pattern=r"^[A-Za-z0-9 _.:/=+@-]{1,64}$")
    production: bool = False
    image: str | None = Field(default=None, pattern=IMAGE)
    network: Literal["none", "private"] = "none"
    serving: Serverless | RealTime = Field(discriminator="kind")
    training: TrainingSettings = TrainingSettings()
    mlflow: Literal["app", "none"] | None = None
    budget_percent: float = Field(gt=0, le=100)
    contacts: tuple[str, ...] = ()
    retention_days: Literal[30, 60, 90, 180, 365, 400, 545, 731] = 30
    backup_days: int = Field(default=0, ge=0, le=365)
    expires: date | None = None
    dispatch: stack.Dispatch | None = None
    adopt: Adopted = Adopted()
    readers: tuple[Annotated[str, Field(pattern=ROLE)], ...] = ()
    emulator: str | None = Field(default=None, pattern=r"^http://\S+$")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for impossible, reason in self._conflicts().items():
            if impossible(self):
                raise ValueError(reason)
        return self

    @staticmethod
    def _conflicts() -> dict[Any, str]:
        return {
            lambda c: isinstance(c.serving, Serverless) and (c.network == "private" or c.adopt.vpc): (
                "a serverless endpoint cannot be in a VPC, which SageMaker does not offer: serve in real time, or"
                " state network none"
            ),
            lambda c: c.region and c.region.startswith(("cn-", "us-gov-")): (
                "the regions of China and GovCloud are partitions of their own, which this program does not know"
            ),
            lambda c: c.network == "private" and c.adopt.vpc: "adopt.vpc takes the place of network private: state one",
            lambda c: c.adopt.mlflow and c.managed_mlflow: (
                'adopt.mlflow takes the place of an App of its own: state mlflow: "none" beside it'
            ),
            lambda c: c.network == "private" and c.mlflow == "app": (
                "an MLflow App answers under a domain to which the private network has no way: leave mlflow out, or"
                " adopt a vpc whose subnets reach it"
            ),
            lambda c: c.production and c.expires: "a production environment does not expire",
            lambda c: c.production and c.emulator: "an emulator is no production",
            lambda c: c.production and not c.backup_days: "a production environment is backed up: state backup_days",
            lambda c: c.production and isinstance(c.serving, RealTime) and c.serving.min_instances < 2: (
                "a production endpoint has two instances or more, so that it outlives the loss of a zone"
            ),
            lambda c: c.image and not c.image.startswith(f"{c.account}."): (
                "the image is in another account's registry; promotion copies it into this one's"
            ),
            lambda c: c.image and c.region and f".ecr.{c.region}." not in c.image: (
                "the image is in another region's registry, which SageMaker does not take"
            ),
        }

    @property
    def quotas(self) -> dict[str, int]:
        """The instances that the account must allow, by the name of the quota."""
        if isinstance(self.serving, Serverless):
            return quotas(self.training)
        return quotas(self.training, self.serving.instance, self.serving.max_instances)

    @property
    def managed_mlflow(self) -> bool:
        """Whether the environment has an MLflow App of its own."""
        return (self.mlflow or ("none" if self.network == "private" else "app")) == "app"

    @property
    def in_vpc(self) -> bool:
        """Whether jobs and endpoint have subnets."""
        return self.network == "private" or self.adopt.vpc is not None


def parse(given: Mapping[str, str], source: str) -> Config:
    """Read the configuration of an environment, each key as Pulumi hands it over: a text, or JSON.

    Raises:
        UserError: naming ``source``, the key, and what is allowed there.
    """
    try:
        return Config.model_validate_json(json.dumps({key: decoded(text) for key, text in given.items()}))
    except ValidationError as error:
        raise UserError("\n".join(f"{source}: {line}" for line in explain(error, Config))) from error


def decoded(text: str) -> Any:
    """Return the value of a key, which Pulumi hands over as a text or as JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text
