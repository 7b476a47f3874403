"""SageMaker Pipelines and their schedules, from what ``mlops render`` wrote."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.names import Names
from pipelines.contracts.rendered import RenderedPipeline, filled


@dataclass(frozen=True, kw_only=True)
class PipelinesArgs:
    """The inputs of the pipelines.

    Attributes:
        names: the environment.
        rendered: by name.
        places: the values of the definitions' placeholders.
        role, scheduler: ARNs of the role of the steps, and of the role that starts them.
        group: name of the schedule group.
        dead: ARN of the queue of what could not be started.
        key: ARN of the KMS key.
    """

    names: Names
    rendered: dict[str, RenderedPipeline]
    places: dict[str, Any]
    role: pulumi.Input[str]
    scheduler: pulumi.Input[str]
    group: pulumi.Input[str]
    dead: pulumi.Input[str]
    key: pulumi.Input[str]


class Pipelines(pulumi.ComponentResource):
    """The pipelines.

    Attributes:
        arns: by name.
    """

    def __init__(self, args: PipelinesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Pipelines", "pipelines", None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self.arns = {name: self._pipeline(name, args) for name in sorted(args.rendered)}
        self.register_outputs({"arns": self.arns})

    def _pipeline(self, part: str, args: PipelinesArgs) -> pulumi.Output[str]:
        name, rendered = args.names.of(part.replace("_", "-")), args.rendered[part]
        pipeline = aws.sagemaker.Pipeline(
            part,
            pipeline_name=name,
            pipeline_display_name=name,
            role_arn=args.role,
            pipeline_definition=pulumi.Output.json_dumps(filled(rendered.definition, args.places), sort_keys=True),
            opts=self._child,
        )
        if rendered.schedule:
            self._schedule(part, name, rendered.schedule, pipeline, args)
        arn: pulumi.Output[str] = pipeline.arn
        return arn

    def _schedule(
        self, part: str, name: str, expression: str, pipeline: aws.sagemaker.Pipeline, args: PipelinesArgs
    ) -> None:
        aws.scheduler.Schedule(
            part,
            name=name,
            group_name=args.group,
            schedule_expression=expression,
            flexible_time_window={"mode": "OFF"},
            kms_key_arn=args.key,
            target={
                "arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution",
                "role_arn": args.scheduler,
                "input": pipeline.pipeline_name.apply(started),
                "dead_letter_config": {"arn": args.dead},
                "retry_policy": {"maximum_retry_attempts": 3, "maximum_event_age_in_seconds": 3600},
            },
            opts=self._child,
        )


def started(name: str) -> str:
    """Return what the scheduler asks SageMaker: one execution a scheduled moment, however often it is delivered.

    SageMaker takes tokens of 32 to 128 characters. The scheduler's own execution-id is of 16, and another one for each
    attempt; scheduled-time is ``2022-03-22T18:59:43Z``
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html).
    """
    token = f"schedule-of-{name}-at-<aws.scheduler.scheduled-time>"
    return json.dumps({"PipelineName": name, "ClientRequestToken": token})
