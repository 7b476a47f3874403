"""The configuration of the local environment in ``Pulumi.local.yaml``; every key has a default."""

import json
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from infra.aws.config import decoded
from pipelines.config.errors import UserError
from pipelines.config.strict import StrictModel, explain
from pipelines.contracts.callers import CallerName, CallersFile, CallerToken

Image = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]*(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$")]
"""An image with a tag or a digest; without either the name may mean another image tomorrow."""


class LocalImages(StrictModel):
    """The images; those of the project are named after it unless stated.

    The upstream ones are pinned by tag: pin them by digest where a registry can be asked for it.

    Attributes:
        serve, steps: the targets of the project's Dockerfile.
        prometheus, alertmanager, grafana: of the monitoring.
    """

    serve: Image | None = None
    steps: Image | None = None
    prometheus: Image = "docker.io/prom/prometheus:v3.5.0"
    alertmanager: Image = "docker.io/prom/alertmanager:v0.28.1"
    grafana: Image | None = "docker.io/grafana/grafana:12.1.0"

    def of(self, project: str, target: str) -> str:
        """Return the image of a target of the project's Dockerfile."""
        stated: str | None = getattr(self, target)
        return stated or f"{project}-{target}:local"


class Gpu(StrictModel):
    """The resources of a step that needs a GPU.

    Attributes:
        count: of GPUs, each of a pod alone.
        resource: by which the device plugin offers them.
        nodes: labels of the nodes that have them.
        taint: the key of the taint that keeps other pods off these nodes.
    """

    count: int = Field(default=1, ge=1)
    resource: str = "nvidia.com/gpu"
    nodes: dict[str, str] = Field(default_factory=lambda: {"nvidia.com/gpu.present": "true"})
    taint: str = "nvidia.com/gpu"


class Replicas(StrictModel):
    """The number of serving pods.

    Attributes:
        least: always there, and never fewer by an eviction or an update.
        most: what scaling stops at.
        cpu_percent: of what a pod asks for, which scaling aims at.
        bake_seconds: that each pod of an update answers beside the old ones before the next of those is replaced.
    """

    least: int = Field(default=2, ge=1)
    most: int = Field(default=3, ge=1)
    cpu_percent: int = Field(default=70, ge=10, le=95)
    bake_seconds: int = Field(default=5, ge=0, le=24 * 3600)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is more than most {self.most}")
        return self


class Storage(StrictModel):
    """Sizes of volumes, in GiB, and the class that they are made by; None is the cluster's default."""

    mlflow: int = Field(default=2, ge=1)
    checkpoints: int = Field(default=5, ge=1)
    metrics: int = Field(default=2, ge=1)
    storage_class: str | None = None


class Secrets(StrictModel):
    """The secrets; ``pulumi config set --secret`` encrypts each in the stack's file.

    Attributes:
        access_key_id, secret_access_key: credentials of the emulator.
        alerts_token: by which Alertmanager shows that it is the sender.
        grafana_password: of Grafana's user ``admin``.
    """

    access_key_id: str = Field(min_length=1)
    secret_access_key: str = Field(min_length=1)
    alerts_token: str = Field(min_length=16)
    grafana_password: str = Field(min_length=12)


class LocalConfig(StrictModel):
    """The local environment.

    Attributes:
        context: of the kubeconfig; None is the current one.
        emulator: URL of the emulator of AWS, as pods reach it.
        account: of the emulator, twelve digits.
        region: where it differs from ``cloud.toml``.
        images: of everything that runs.
        replicas: of the serving app.
        callers: who may ask the serving app, as ``mlops token`` writes it; None lets anyone ask within the cluster.
        memory_gib: that all pods together may ask for; distributed training may need more.
        storage: sizes of volumes.
        gpu: None where the cluster has none.
        secrets: see there.
    """

    context: str | None = None
    emulator: str = Field(default="http://host.minikube.internal:4566", pattern=r"^https?://[^/\s:]+:\d+$")
    account: str = Field(default="000000000000", pattern=r"^\d{12}$")
    region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    images: LocalImages = LocalImages()
    replicas: Replicas = Replicas()
    callers: dict[CallerName, CallerToken] | None = None
    memory_gib: int = Field(default=7, ge=6)
    storage: Storage = Storage()
    gpu: Gpu | None = None
    secrets: Secrets

    @field_validator("callers")
    @classmethod
    def _checked(cls, callers: dict[str, CallerToken] | None) -> dict[str, CallerToken] | None:
        return callers if callers is None else CallersFile(callers=callers).callers

    @property
    def emulator_port(self) -> int:
        """The port of the emulator, which alone of it pods may reach."""
        return int(self.emulator.rpartition(":")[2])


def parse(given: Mapping[str, str], source: str) -> LocalConfig:
    """Read the configuration, each key as Pulumi hands it over: a text, or JSON.

    Raises:
        UserError: naming ``source``, the key, and what is allowed there.
    """
    if "secrets" not in given:
        raise UserError(
            f"{source}: secrets are missing: run 'make local-up', which makes them, or 'pulumi config set --secret"
            " --path infra:secrets.NAME VALUE' for each of " + ", ".join(Secrets.model_fields)
        )
    document = {key: text if key == "account" else decoded(text) for key, text in given.items()}
    try:
        return LocalConfig.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise UserError("\n".join(f"{source}: {line}" for line in explain(error, LocalConfig))) from error
