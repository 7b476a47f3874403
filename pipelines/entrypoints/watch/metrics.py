"""An environment's metrics for Prometheus: the latest monitor report, the runs, and the queue.

They are read from the stores at each scrape, so nothing has to be pushed, and no metric outlives its subject. Names are
the same everywhere (``monitoring/measures.py``).
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from monitoring.measures import Measure, measures, metrics_sink
from pipelines import PIPELINES
from pipelines.monitor import MonitorReport
from pipelines.reporting.history import run_summary
from pipelines.storage.ports import ObjectStore, Queue


class Stores:
    """What the watch reads; runs never change their pipeline and beginning, so each is read once."""

    def __init__(self, objects: ObjectStore, events: Queue, environment: str, now: Callable[[], datetime]) -> None:
        self._objects, self._events, self._environment, self._now = objects, events, environment, now
        self._runs: dict[str, dict[str, Any]] = {}
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
        for name in self._objects.folders("runs/"):
            if name not in self._runs and (document := self._objects.read(f"runs/{name}/run.json")):
                self._runs[name] = json.loads(document)
        latest: dict[str, str] = {}
        for name, run in sorted(self._runs.items(), key=lambda item: str(item[1]["created"])):
            latest[run["pipeline"]] = name
        for pipeline in PIPELINES:
            failed = False
            if pipeline in latest:
                name = latest[pipeline]
                failed = run_summary(self._objects, self._runs[name], f"runs/{name}").failed is not None
            gauge.labels(pipeline).set(failed)

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
        keys = self._objects.keys(f"monitoring/{self._environment}/")
        if not keys:
            return
        report = MonitorReport.from_json(self._objects.read(keys[-1]) or b"")
        moment = Measure("monitored_timestamp_seconds", report.measured.as_of.timestamp())
        found = measures(report.measured, report.alarms)
        metrics_sink((*found, moment), "Of the latest look at the model.", registry)
