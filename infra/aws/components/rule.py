"""A rule that sends the events of a pattern to a queue or a function, and keeps undeliverable ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class RuleArgs:
    """The inputs of a rule.

    Attributes:
        names: the environment.
        pattern: of the events.
        target: what takes them: ``queue`` or ``function``.
        arn: the target's.
        dead: ARN of the queue of what could not be delivered.
        bus: name of the bus; the account's when None.
    """

    names: Names
    pattern: Mapping[str, Any]
    target: str
    arn: pulumi.Input[str]
    dead: pulumi.Input[str]
    bus: pulumi.Input[str] | None = None


def rule(part: str, args: RuleArgs, opts: pulumi.ResourceOptions) -> aws.cloudwatch.EventRule:
    """Declare the environment's rule of this ``part``, and its target."""
    made = aws.cloudwatch.EventRule(
        part,
        name=args.names.of(part),
        event_bus_name=args.bus,
        event_pattern=json.dumps(args.pattern, sort_keys=True),
        opts=opts,
    )
    aws.cloudwatch.EventTarget(
        part,
        rule=made.name,
        event_bus_name=args.bus,
        target_id=args.target,
        arn=args.arn,
        dead_letter_config={"arn": args.dead},
        opts=opts,
    )
    return made
