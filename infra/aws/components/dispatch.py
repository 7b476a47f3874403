"""Instant dispatch: a function that starts a workflow on GitHub for each trigger, where a GitHub App is installed."""

from dataclasses import dataclass

import pulumi

from infra.aws.components.alarm import AlarmBound, alarm
from infra.aws.components.container import DISPATCH
from infra.aws.components.function import FunctionArgs, function, on_event
from infra.names import Names

MEMORY_MB = 512
TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class DispatchArgs:
    """The inputs of the function.

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


class DispatchFunction(pulumi.ComponentResource):
    """The function, outside of any VPC because GitHub is, and the rule that calls it.

    Attributes:
        function: its ARN.
    """

    def __init__(self, args: DispatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Dispatch", "dispatch", None, opts)
        names, child = args.names, pulumi.ResourceOptions(parent=self)
        stated = FunctionArgs(
            names=names,
            image=args.image,
            handler=DISPATCH,
            role=args.role,
            key=args.key,
            dead=args.dead,
            memory_mb=MEMORY_MB,
            timeout=TIMEOUT,
            retention_days=args.retention_days,
        )
        called = function("dispatch", stated, child)
        triggers = {"source": [names.project], "detail-type": ["trigger"]}
        on_event("dispatch", called, triggers, stated, child, args.bus)
        failing = AlarmBound(
            "dispatch-errors", "AWS/Lambda", "Errors", {"FunctionName": names.of("dispatch")}, "Sum", ">", 0, 15,
            "No workflow on GitHub was started for a trigger, which waits for the next poll.",
        )  # fmt: skip
        alarm(failing, names, [args.topic], child)
        self.function = called.arn
        self.register_outputs({"function": self.function})
