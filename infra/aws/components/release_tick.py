"""The release tick: a function of the project's image judges the live release each minute and on alarms.

The end of a search calls it too; it then starts the training with the best settings.
"""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.components.alarm import AlarmBound, alarm
from infra.aws.components.container import TICK
from infra.aws.components.events import tuning_job_ended
from infra.aws.components.function import FunctionArgs, function, on_event
from infra.names import Names

MEMORY_MB = 2048
TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class ReleaseTickArgs:
    """The inputs of the tick.

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
        stated = FunctionArgs(
            names=names,
            image=args.image,
            handler=TICK,
            role=args.role,
            key=args.key,
            dead=args.dead,
            memory_mb=MEMORY_MB,
            timeout=TIMEOUT,
            retention_days=args.retention_days,
            subnets=args.subnets,
            security_groups=args.security_groups,
        )
        called = function("tick", stated, child)
        aws.lambda_.Permission(
            "alarms",
            action="lambda:InvokeFunction",
            function=called.name,
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
                "arn": called.arn,
                "role_arn": args.scheduler,
                "retry_policy": {"maximum_retry_attempts": 0},  # the next minute is the retry
            },
            opts=child,
        )
        searched = {"source": ["aws.sagemaker"], **tuning_job_ended(names)}
        on_event("searched", called, searched, stated, child)
        for bound in bounds(name):
            alarm(bound, names, [args.topic], child)
        self.function = called.arn
        self.register_outputs({"function": self.function})


def bounds(function: str) -> list[AlarmBound]:
    """Return the bounds of the tick: on failures, and on minutes without a call."""
    at = {"FunctionName": function}
    return [
        AlarmBound(
            "tick-errors", "AWS/Lambda", "Errors", at, "Sum", ">=", 3, 5,
            "The release tick failed: a bad release might not be taken back.", periods=2,
        ),
        AlarmBound(
            "tick-missing", "AWS/Lambda", "Invocations", at, "Sum", "<", 1, 5,
            "The release tick did not run for 10 minutes.", periods=2, missing="breaching",
        ),
    ]  # fmt: skip
