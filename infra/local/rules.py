"""The alarm rules of Prometheus: the bounds of the environments on AWS, on Prometheus' own metrics.

``infra/aws/components`` states name, bound, time and meaning of each alarm once; this module adds only the expression
by which Prometheus reads the metric. ``{minutes}`` is the period. Each metric has a selector in braces, so that a test
can find it and check that something exposes it.
"""

from typing import Any

from infra.aws.components import events, monitors, release_tick, serving
from infra.aws.components.alarm import AlarmBound
from infra.names import Names
from pipelines.contracts.rendered import Rendered

_FAILED = 'sum(rate(refused_requests_total{{job="serving",status=~"5.."}}[{minutes}m]))'
_REFUSED = 'sum(rate(refused_requests_total{{job="serving"}}[{minutes}m]))'
_ANSWERED = 'sum(rate(invocation_seconds_count{{job="serving"}}[{minutes}m]))'

EXPRESSIONS = {
    "endpoint-errors": f"{_FAILED} / ({_ANSWERED} + {_REFUSED})",
    "endpoint-latency": (  # of which CloudWatch counts microseconds
        '1e6 * histogram_quantile(0.99, sum by (le) (rate(invocation_seconds_bucket{{job="serving"}}[{minutes}m])))'
    ),
    "endpoint-missing": 'sum(up{{job="serving"}}) or vector(0)',
    "tick-errors": 'sum(increase(release_ticks_total{{outcome="failed"}}[{minutes}m]))',
    "tick-missing": "sum(increase(release_ticks_total{{}}[{minutes}m])) or vector(0)",
    "events-dead": 'max(queue_messages{{state="dead"}})',
    "events-waiting": "max(queue_waiting_seconds{{}})",
}
"""By alarm: the expression that Prometheus compares with the bound."""

NOT_HERE = {"operations-waiting": "a queue that only workflows on GitHub poll"}
"""Alarms on AWS that make no sense here."""

_STATISTICS = {
    "Average": "avg(avg_over_time({metric}[{minutes}m]))",
    "Maximum": "max(max_over_time({metric}[{minutes}m]))",
    "Minimum": "min(min_over_time({metric}[{minutes}m]))",
    "Sum": "sum(increase({metric}[{minutes}m]))",
}


def bounds(names: Names, rendered: Rendered) -> dict[str, list[AlarmBound]]:
    """Return every bound that is watched here, by group."""
    of_aws = {
        "endpoint": serving.bounds(names),
        "releases": release_tick.bounds(names.of("tick")),
        "pipelines": monitors.runs(names, rendered),
        "events": [one for one in events.bounds(names) if one.name not in NOT_HERE],
        "project": monitors.measured(names, rendered),
    }
    return {**of_aws, "local": [missing(names)]}


def missing(names: Names) -> AlarmBound:
    """Return the bound that SageMaker needs no alarm for: that a pod answers."""
    return AlarmBound(
        "endpoint-missing", names.metrics, "up", {}, "Minimum", "<", 1, 1, "No pod of the serving app answers.",
        periods=2,
    )  # fmt: skip


def rules(names: Names, rendered: Rendered) -> dict[str, Any]:
    """Return the file of rules."""
    groups = [
        {"name": group, "rules": [rule(bound, names, rendered) for bound in found]}
        for group, found in bounds(names, rendered).items()
        if found
    ]
    return {"groups": groups}


def rule(bound: AlarmBound, names: Names, rendered: Rendered) -> dict[str, Any]:
    """Return the rule of a bound, which is checked over each period and must be exceeded in all of them in a row."""
    alarm = rendered.alarms.get(bound.name)
    expression = f"({read(bound, rendered)}) {bound.comparison} {bound.threshold:g}"
    return {
        "alert": bound.name,
        "expr": expression,
        "for": f"{bound.minutes * (bound.periods - 1)}m",
        "labels": {"environment": names.environment, "retrain": str(bool(alarm and alarm.retrain)).lower()},
        "annotations": {
            "summary": bound.meaning,
            "runbook": f"docs/runbook.md#{bound.name}",
            "value": "{{ $value }}",
        },
    }


def read(bound: AlarmBound, rendered: Rendered) -> str:
    """Return the expression for what a bound is on."""
    if bound.name in EXPRESSIONS:
        return EXPRESSIONS[bound.name].format(minutes=bound.minutes)
    runs = {f"failed-{part.replace('_', '-')}": part for part in rendered.pipelines}
    if bound.name in runs:
        return f'max(run_failed{{pipeline="{runs[bound.name]}"}})'
    labels = ",".join(f'{label}="{value}"' for label, value in sorted(bound.dimensions.items()))
    return _STATISTICS[bound.statistic].format(metric=f"{bound.metric}{{{labels}}}", minutes=bound.minutes)
