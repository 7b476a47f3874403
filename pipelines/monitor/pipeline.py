"""The monitor pipeline, defined."""

from pipelines.monitor import MonitorParams
from pipelines.monitor.alarm import alarm
from pipelines.monitor.measure import join_labels, measure
from pipelines.orchestration.pipeline import Pipeline

PIPELINE = Pipeline("monitor", MonitorParams, answered=join_labels, measured=measure, report=alarm)
