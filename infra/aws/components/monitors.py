"""Monitors: alarms on runs and on the pipelines' metrics, and a dashboard of them all."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.components.alarm import AlarmBound, alarm
from infra.aws.components.serving import VARIANT
from infra.names import Names
from pipelines.contracts.rendered import Rendered


@dataclass(frozen=True, kw_only=True)
class MonitorsArgs:
    """The inputs of the monitors.

    Attributes:
        names: the environment.
        rendered: the pipelines and alarms of the project.
        topic: ARN of the topic of alarms.
    """

    names: Names
    rendered: Rendered
    topic: pulumi.Input[str]


class Monitors(pulumi.ComponentResource):
    """Alarms and the dashboard.

    Attributes:
        dashboard: its name.
    """

    def __init__(self, args: MonitorsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Monitors", "monitors", None, opts)
        names, child = args.names, pulumi.ResourceOptions(parent=self)
        for bound in [*runs(names, args.rendered), *measured(names, args.rendered)]:
            alarm(bound, names, [args.topic], child)
        self.dashboard = aws.cloudwatch.Dashboard(
            "dashboard",
            dashboard_name=names.prefix,
            dashboard_body=json.dumps(dashboard(names, args.rendered), sort_keys=True),
            opts=child,
        ).dashboard_name
        self.register_outputs({"dashboard": self.dashboard})


def runs(names: Names, rendered: Rendered) -> list[AlarmBound]:
    """Return an alarm for each pipeline: one of its runs failed."""
    return [
        AlarmBound(
            f"failed-{part.replace('_', '-')}", "AWS/Sagemaker/ModelBuildingPipeline", "ExecutionFailed",
            {"PipelineName": names.of(part.replace("_", "-"))}, "Sum", ">", 0, 5, f"A run of {part} failed.",
        )
        for part in sorted(rendered.pipelines)
    ]  # fmt: skip


def measured(names: Names, rendered: Rendered) -> list[AlarmBound]:
    """Return the alarms that the project states on its own metrics."""
    return [
        AlarmBound(
            name, names.metrics, one.metric, one.dimensions, one.statistic, one.comparison, one.threshold,
            one.minutes, one.meaning, periods=one.periods,
        )
        for name, one in sorted(rendered.alarms.items())
    ]  # fmt: skip


def dashboard(names: Names, rendered: Rendered) -> dict[str, Any]:
    """Return the dashboard: what users notice first, then the pipelines' runs, then their metrics."""
    at = ["EndpointName", names.prefix, "VariantName", VARIANT]
    pipelines = [names.of(part.replace("_", "-")) for part in sorted(rendered.pipelines)]
    graphs = [
        ("Requests", "Sum", [["AWS/SageMaker", "Invocations", *at], ["AWS/SageMaker", "Invocation5XXErrors", *at]]),
        ("Microseconds, one request in a hundred", "p99", [["AWS/SageMaker", "ModelLatency", *at]]),
        (
            "Messages that wait",
            "Maximum",
            [
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", names.of(part)]
                for part in ("events", "operations", "dead")
            ],
        ),
        ("Release tick, errors", "Sum", [["AWS/Lambda", "Errors", "FunctionName", names.of("tick")]]),
        (
            "Failed runs",
            "Sum",
            [["AWS/Sagemaker/ModelBuildingPipeline", "ExecutionFailed", "PipelineName", one] for one in pipelines],
        ),
        *((name, one.statistic, [_metric(names, one)]) for name, one in sorted(rendered.alarms.items())),
    ]
    return {
        "widgets": [
            {
                "type": "metric",
                "width": 8,
                "height": 6,
                "x": number % 3 * 8,
                "y": number // 3 * 6,
                "properties": {"title": title, "stat": statistic, "metrics": metrics, "region": names.region},
            }
            for number, (title, statistic, metrics) in enumerate(graph for graph in graphs if graph[2])
        ]
    }


def _metric(names: Names, one: Any) -> list[str]:
    return [names.metrics, one.metric, *(part for pair in sorted(one.dimensions.items()) for part in pair)]
