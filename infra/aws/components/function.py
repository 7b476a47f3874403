"""A Lambda function of the project's image, with its logs, and the rules that call it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.components.container import FUNCTION_ENTRY, variables
from infra.aws.components.rule import RuleArgs, rule
from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class FunctionArgs:
    """The inputs of the function.

    Attributes:
        names: the environment.
        image: by digest.
        handler: the Python function that answers, as ``module.name``.
        role: ARN of the function's role.
        key: ARN of the KMS key of its settings and logs.
        dead: ARN of the queue of calls that failed.
        memory_mb, timeout: in MiB and seconds.
        retention_days: of logs.
        subnets, security_groups: empty outside of a VPC.
    """

    names: Names
    image: str
    handler: str
    role: pulumi.Input[str]
    key: pulumi.Input[str]
    dead: pulumi.Input[str]
    memory_mb: int
    timeout: int
    retention_days: int
    subnets: Sequence[pulumi.Input[str]] = ()
    security_groups: Sequence[pulumi.Input[str]] = ()


def function(part: str, args: FunctionArgs, opts: pulumi.ResourceOptions) -> aws.lambda_.Function:
    """Declare the environment's function of this ``part``, after the group of its logs."""
    name = args.names.of(part)
    logs = aws.cloudwatch.LogGroup(
        part,
        name=f"/aws/lambda/{name}",
        retention_in_days=args.retention_days,
        kms_key_id=args.key,
        opts=opts,
    )
    network = {"subnet_ids": list(args.subnets), "security_group_ids": list(args.security_groups)}
    return aws.lambda_.Function(
        part,
        name=name,
        package_type="Image",
        image_uri=args.image,
        image_config={"entry_points": list(FUNCTION_ENTRY), "commands": [args.handler]},
        role=args.role,
        memory_size=args.memory_mb,
        timeout=args.timeout,
        environment={"variables": variables(args.names)},
        kms_key_arn=args.key,
        dead_letter_config={"target_arn": args.dead},
        vpc_config=network if args.subnets else None,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[logs])),
    )


def on_event(
    part: str,
    called: aws.lambda_.Function,
    pattern: Mapping[str, Any],
    args: FunctionArgs,
    opts: pulumi.ResourceOptions,
    bus: pulumi.Input[str] | None = None,
) -> None:
    """Declare a rule that calls a function on events of a pattern, from the account's bus unless another is named."""
    stated = RuleArgs(names=args.names, pattern=pattern, target="function", arn=called.arn, dead=args.dead, bus=bus)
    aws.lambda_.Permission(
        part,
        action="lambda:InvokeFunction",
        function=called.name,
        principal="events.amazonaws.com",
        source_arn=rule(part, stated, opts).arn,
        opts=opts,
    )
