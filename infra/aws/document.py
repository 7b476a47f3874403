"""Writes the document that the pipelines read, and validates it before any resource depends on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.config import Config
from infra.names import Names
from pipelines.contracts import Stack, keys
from pipelines.contracts.stack import parameter_name

KEY = keys.STACK
LOCKED_DAYS = 365  # of a production environment's audit records


@dataclass(frozen=True)
class FoundResources:
    """What the document describes; see :class:`pipelines.config.Stack`."""

    names: Names
    config: Config
    key: pulumi.Input[str]
    signer: pulumi.Input[str]
    jobs: pulumi.Input[str]
    subnets: list[pulumi.Input[str]]
    security_groups: list[pulumi.Input[str]]
    queue: pulumi.Input[str]
    operations: pulumi.Input[str]
    topic: pulumi.Input[str]
    mlflow: pulumi.Input[str] | None
    endpoint: pulumi.Input[str] | None


@dataclass(frozen=True, kw_only=True)
class DocumentArgs:
    """The inputs of the document.

    Attributes:
        names: the environment.
        key: ARN of the KMS key.
        told: the fields.
        ready: what the bucket of the document needs before it takes objects.
        parts: all other parts of the environment.
        production: protected.
    """

    names: Names
    key: pulumi.Input[str]
    told: dict[str, Any]
    ready: list[pulumi.Resource]
    parts: Sequence[pulumi.Resource] = ()
    production: bool = False


def write(args: DocumentArgs, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Put the document into the store, once that is ready, and its address into the parameter; return the address.

    The parameter depends on all parts. Pulumi deletes dependents first, and stops at what is protected, so a protected
    parameter refuses the destruction of an environment before any part is gone.
    """
    names = args.names
    content = pulumi.Output.json_dumps(args.told).apply(lambda text: Stack.from_json(text).to_json().decode())
    written = aws.s3.BucketObjectv2(
        "stack",
        bucket=names.bucket("store"),
        key=KEY,
        content=content,
        content_type="application/json",
        server_side_encryption="aws:kms",
        kms_key_id=args.key,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=args.ready)),
    )
    address: str = f"s3://{names.bucket('store')}/{KEY}"
    last = pulumi.ResourceOptions(depends_on=[written, *args.parts], protect=args.production)
    value: pulumi.Output[str] = aws.ssm.Parameter(
        "stack",
        name=parameter_name(names.project, names.environment),
        type="String",
        value=address,
        opts=pulumi.ResourceOptions.merge(opts, last),
    ).value
    return value


def named(names: Names, key: pulumi.Input[str], locked_days: int = 0) -> dict[str, Any]:
    """Return the fields that follow from names, with the ``key`` of data and the days that audit records are locked."""
    return {
        "project": names.project,
        "environment": names.environment,
        "region": names.region,
        "account": names.account,
        "store": {
            "bucket": names.bucket("store"),
            "lake": names.bucket("lake"),
            "key": key,
            "locked_days": locked_days,
        },
        "features": {"catalog": names.catalog, "workgroup": names.prefix, "online": names.of("online")},
        "bus": names.prefix,
        "metrics": names.metrics,
    }


def fields(found: FoundResources) -> dict[str, Any]:
    """Return the fields of the document of an environment on AWS."""
    config = found.config
    return {
        **named(found.names, found.key, LOCKED_DAYS if config.production else 0),
        "endpoint_url": config.emulator,
        "compute": {
            "image": config.image,
            "role": found.jobs,
            "subnets": found.subnets,
            "security_groups": found.security_groups,
            "training": config.training.model_dump(mode="json"),
            "quotas": config.quotas,
        },
        "signer": found.signer,
        "queue": found.queue,
        "operations": found.operations,
        "alarms": found.topic,
        "mlflow": found.mlflow,
        "endpoint": found.endpoint,
        "dispatch": config.dispatch.model_dump() if config.dispatch else None,
        "lent": config.adopt.data.model_dump() if config.adopt.data else None,
    }
