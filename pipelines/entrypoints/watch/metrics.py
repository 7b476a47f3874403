"""An environment's metrics for Prometheus: the latest monitor report, the runs, and the queue.

They are read from the stores at each scrape, so nothing has to be pushed, and no metric outlives its subject. Names are
the same everywhere (``monitoring/measures.py``).
"""

from collections.abc import Callable
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from monitoring.measures import Measure, measures, metrics_sink
from pipelines.contracts import keys
from pipelines.monitor import MonitorReport
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.runs import RunStore
from pipelines.storage.ports import ObjectStore, Queue


class WatchedStores:
    """What the watch reads."""

    def __init__(self, objects: ObjectStore, events: Queue, environment: str, now: Callable[[], datetime]) -> None:
        self._objects, self._events, self._environment, self._now = objects, events, environment, now
        self._runs = RunStore(objects)
        self._waiting_since: datetime | None = None

    def read(self) -> CollectorRegistry:
        """Return the current metrics.

        Raises:
            Unavailable: when a store does not answer.
        """
        registry = CollectorRegistry()
        self._failed_runs(registry)
        self._queue(registry)
        self._model(registry)
        return registry

    def _failed_runs(self, registry: CollectorRegistry) -> None:
        gauge = Gauge("run_failed", "Whether the latest run of a pipeline failed.", ["pipeline"], registry=registry)
        for pipeline in PIPELINES:
            latest = next(self._runs.latest(1, pipeline), None)
            gauge.labels(pipeline).set(latest is not None and latest.failed is not None)

    def _queue(self, registry: CollectorRegistry) -> None:
        depth, now = self._events.depth(), self._now()
        self._waiting_since = (self._waiting_since or now) if depth.waiting else None
        messages = Gauge("queue_messages", "Messages in the queue of events.", ["state"], registry=registry)
        for state, count in depth._asdict().items():
            messages.labels(state).set(count)
        seconds = Gauge("queue_waiting_seconds", "For how long the queue has not been empty.", registry=registry)
        seconds.set((now - self._waiting_since).total_seconds() if self._waiting_since else 0)

    def _model(self, registry: CollectorRegistry) -> None:
        """Add the metrics of the latest report of ``mlops monitor``, if there is one."""
        reports = self._objects.first(keys.monitor_reports(self._environment), 1)
        if not reports:
            return
        report = MonitorReport.from_json(self._objects.read(reports[0]) or b"")
        moment = Measure("monitored_timestamp_seconds", report.measured.as_of.timestamp())
        found = measures(report.measured, report.alarms)
        metrics_sink((*found, moment), "Of the latest look at the model.", registry)
