"""Alarms: a bound on a metric, whom it notifies, and where to read what to do."""

from typing import Literal, NamedTuple

import pulumi
import pulumi_aws as aws

from infra.names import Names

COMPARISONS = {
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
}


class AlarmBound(NamedTuple):
    """A bound on a metric of CloudWatch.

    Attributes:
        name: of the alarm, and its heading in ``docs/runbook.md``.
        statistic: such as ``Sum`` or ``p99``, over each of ``periods`` periods of ``minutes`` in a row.
        missing: what no data means.
        meaning: for whoever is called.
    """

    name: str
    namespace: str
    metric: str
    dimensions: dict[str, str]
    statistic: str
    comparison: Literal["<", "<=", ">", ">="]
    threshold: float
    minutes: int
    meaning: str
    periods: int = 1
    missing: Literal["breaching", "notBreaching", "ignore"] = "notBreaching"


def alarm(
    bound: AlarmBound, names: Names, actions: list[pulumi.Input[str]], opts: pulumi.ResourceOptions
) -> aws.cloudwatch.MetricAlarm:
    """Return the alarm of a bound; actions are ARNs of topics and functions."""
    percentile = bound.statistic.startswith("p")
    return aws.cloudwatch.MetricAlarm(
        bound.name,
        name=names.of(bound.name),
        alarm_description=f"{bound.meaning} See docs/runbook.md, {bound.name}.",
        namespace=bound.namespace,
        metric_name=bound.metric,
        dimensions=bound.dimensions,
        statistic=None if percentile else bound.statistic,
        extended_statistic=bound.statistic if percentile else None,
        comparison_operator=COMPARISONS[bound.comparison],
        threshold=bound.threshold,
        period=bound.minutes * 60,
        evaluation_periods=bound.periods,
        treat_missing_data=bound.missing,
        alarm_actions=actions,
        ok_actions=actions[:1],
        opts=opts,
    )
