"""The release tick: a function of the project's image judges the live release each minute, and when alarms call.

The end of a search calls it as well: it then starts the training with the best settings.
"""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.alarm import Bound, alarm
from infra.components.container import TICK, TICK_ENTRY, variables
from infra.components.events import tuning_job_ended
from infra.names import Names

MEMORY_MB = 2048
TIMEOUT = 120


@dataclass(frozen=True)
class ReleaseTickArgs:
    """What the tick is asked for.

    Attributes:
        names: the environment.
        image: by digest.
        role, scheduler: ARNs of the function's role, and of the role that calls it each minute.
        key: ARN of the KMS key.
        subnets, security_groups: empty outside of a VPC.
        dead: ARN of the queue of what could not be delivered.
        topic: ARN of the topic of alarms.
        group: name of the schedule group.
        retention_days: of logs.
    """

    names: Names
    image: str
    role: pulumi.Input[str]
    scheduler: pulumi.Input[str]
    key: pulumi.Input[str]
    subnets: list[pulumi.Input[str]]
    security_groups: list[pulumi.Input[str]]
    dead: pulumi.Input[str]
    topic: pulumi.Input[str]
    group: pulumi.Input[str]
    retention_days: int


class ReleaseTick(pulumi.ComponentResource):
    """The function and what calls it.

    Attributes:
        function: its ARN; an alarm may name it among its actions.
    """

    def __init__(self, args: ReleaseTickArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:ReleaseTick", "release-tick", None, opts)
        names, child = args.names, pulumi.ResourceOptions(parent=self)
        name = names.of("tick")
        logs = aws.cloudwatch.LogGroup(
            "tick",
            name=f"/aws/lambda/{name}",
            retention_in_days=args.retention_days,
            kms_key_id=args.key,
            opts=child,
        )
        network = {"subnet_ids": args.subnets, "security_group_ids": args.security_groups}
        function = aws.lambda_.Function(
            "tick",
            name=name,
            package_type="Image",
            image_uri=args.image,
            image_config={"entry_points": list(TICK_ENTRY), "commands": list(TICK)},
            role=args.role,
            memory_size=MEMORY_MB,
            timeout=TIMEOUT,
            environment={"variables": variables(names)},
            kms_key_arn=args.key,
            dead_letter_config={"target_arn": args.dead},
            vpc_config=network if args.subnets else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs]),
        )
        aws.lambda_.Permission(
            "alarms",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="lambda.alarms.cloudwatch.amazonaws.com",
            source_account=names.account,
            source_arn=names.arn("cloudwatch", f"alarm:{names.of('*')}"),
            opts=child,
        )
        aws.scheduler.Schedule(
            "tick",
            name=name,
            group_name=args.group,
            schedule_expression="rate(1 minute)",
            flexible_time_window={"mode": "OFF"},
            kms_key_arn=args.key,
            target={
                "arn": function.arn,
                "role_arn": args.scheduler,
                "retry_policy": {"maximum_retry_attempts": 0},  # the next minute is the retry
            },
            opts=child,
        )
        ended = aws.cloudwatch.EventRule(
            "searched",
            name=names.of("searched"),
            event_pattern=json.dumps({"source": ["aws.sagemaker"], **tuning_job_ended(names)}, sort_keys=True),
            opts=child,
        )
        aws.lambda_.Permission(
            "searched",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="events.amazonaws.com",
            source_arn=ended.arn,
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            "searched",
            rule=ended.name,
            target_id="function",
            arn=function.arn,
            dead_letter_config={"arn": args.dead},
            opts=child,
        )
        for bound in bounds(name):
            alarm(bound, names, [args.topic], child)
        self.function = function.arn
        self.register_outputs({"function": self.function})


def bounds(function: str) -> list[Bound]:
    """Return what is wrong with the tick: it fails, or nobody calls it."""
    at = {"FunctionName": function}
    return [
        Bound(
            "tick-errors", "AWS/Lambda", "Errors", at, "Sum", ">=", 3, 5,
            "The release tick failed: a bad release might not be taken back.", periods=2,
        ),
        Bound(
            "tick-missing", "AWS/Lambda", "Invocations", at, "Sum", "<", 1, 5,
            "The release tick did not run for 10 minutes.", periods=2, missing="breaching",
        ),
    ]  # fmt: skip
