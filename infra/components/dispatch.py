"""Instant dispatch: a function that tells GitHub of a trigger at once, where a GitHub App is installed."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.alarm import Bound, alarm
from infra.components.container import DISPATCH, TICK_ENTRY, variables
from infra.names import Names

MEMORY_MB = 512
TIMEOUT = 60


@dataclass(frozen=True)
class DispatchArgs:
    """Who is told by whom.

    Attributes:
        names: the environment.
        image: by digest.
        role: ARN of the function's role.
        key: ARN of the KMS key of data.
        bus: name of the event bus.
        dead: ARN of the queue of what could not be delivered.
        topic: ARN of the topic of alarms.
        retention_days: of logs.
    """

    names: Names
    image: str
    role: pulumi.Input[str]
    key: pulumi.Input[str]
    bus: pulumi.Input[str]
    dead: pulumi.Input[str]
    topic: pulumi.Input[str]
    retention_days: int


class Dispatch(pulumi.ComponentResource):
    """The function, outside of any VPC because GitHub is, and the rule that calls it.

    Attributes:
        function: its ARN.
    """

    def __init__(self, args: DispatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Dispatch", "dispatch", None, opts)
        names, child, name = args.names, pulumi.ResourceOptions(parent=self), args.names.of("dispatch")
        logs = aws.cloudwatch.LogGroup(
            "dispatch",
            name=f"/aws/lambda/{name}",
            retention_in_days=args.retention_days,
            kms_key_id=args.key,
            opts=child,
        )
        function = aws.lambda_.Function(
            "dispatch",
            name=name,
            package_type="Image",
            image_uri=args.image,
            image_config={"entry_points": list(TICK_ENTRY), "commands": list(DISPATCH)},
            role=args.role,
            memory_size=MEMORY_MB,
            timeout=TIMEOUT,
            environment={"variables": variables(names)},
            kms_key_arn=args.key,
            dead_letter_config={"target_arn": args.dead},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs]),
        )
        rule = aws.cloudwatch.EventRule(
            "dispatch",
            name=name,
            event_bus_name=args.bus,
            event_pattern=json.dumps({"source": [names.project], "detail-type": ["trigger"]}, sort_keys=True),
            opts=child,
        )
        aws.lambda_.Permission(
            "dispatch",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            "dispatch",
            rule=rule.name,
            event_bus_name=args.bus,
            target_id="function",
            arn=function.arn,
            dead_letter_config={"arn": args.dead},
            opts=child,
        )
        failing = Bound(
            "dispatch-errors", "AWS/Lambda", "Errors", {"FunctionName": name}, "Sum", ">", 0, 15,
            "GitHub was not told of a trigger, which waits for the next poll.",
        )  # fmt: skip
        alarm(failing, names, [args.topic], child)
        self.function = function.arn
        self.register_outputs({"function": self.function})
