"""When pipelines start by the clock on AWS; ``mlops render`` hands it to infrastructure."""

SCHEDULES = {
    "feature": "cron(0 3 * * ? *)",
    "monitor": "cron(0 6 * * ? *)",
    "maintenance": "cron(0 1 ? * SUN *)",
}
"""Expressions of EventBridge Scheduler, in UTC, by pipeline.

Continuous training has none: a workflow drains the queue, and only what it decides on costs an execution.
"""
