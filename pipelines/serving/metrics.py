"""The serving app's metrics in Prometheus' format, added up over its processes.

The processes share their counts through files in a folder, if the environment named one before this module's import.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest, multiprocess

from pipelines.feature.online import Absent
from pipelines.serving.server import METRICS_FOLDER
from pipelines.storage.prediction_log import Predictions


class ServingMetrics:
    """The app's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.predictions = prometheus_client.Counter(
            "predictions",
            "Rows answered, by the variant that answered.",
            ["variant", "version"],
            registry=self.registry,
        )
        self.fallbacks = prometheus_client.Counter(
            "challenger_errors", "Rows the challenger failed and the champion answered.", registry=self.registry
        )
        self.missing = prometheus_client.Counter(
            "missing_features", "Feature values that were missing.", ["feature"], registry=self.registry
        )
        self.absent = prometheus_client.Counter(
            "absent_view_rows",
            "Rows for whose entity a feature view had no value, or only one older than its ttl.",
            ["view", "kind"],
            registry=self.registry,
        )
        self.refused = prometheus_client.Counter(
            "refused_requests", "Requests answered with an error.", ["status"], registry=self.registry
        )
        self.callers = prometheus_client.Counter(
            "caller_requests", "Requests that were let in, by who asked.", ["caller"], registry=self.registry
        )
        self.refused_releases = prometheus_client.Counter(
            "refused_releases", "Releases that could not be loaded.", registry=self.registry
        )
        self.seconds = Histogram("invocation_seconds", "Time to answer a request body.", registry=self.registry)
        self.skew = Histogram(
            "client_clock_skew_seconds",
            "How far the event time of a request body lies from the server's clock, at most.",
            buckets=(1, 10, 60, 600, 3600, 86400),
            registry=self.registry,
        )
        self.release = Gauge(
            "release_number",
            "The transition of the release log that is served; of several processes, the oldest.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.release_refused = Gauge(
            "release_refused",
            "1 while the latest transition of the release log is not served in full, and 0 else.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.pending = Gauge(
            "prediction_log_pending",
            "Predictions not yet written to the log.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._answered, self._missing, self._absent = (  # a counter looks its labels up at a cost
            cache(counter.labels) for counter in (self.predictions, self.missing, self.absent)
        )

    def observe(self, answered: Sequence[Predictions], seconds: float, bodies: int) -> None:
        """Count what was answered, and for each request body how long that took."""
        for _ in range(bodies):
            self.seconds.observe(seconds)
        for predictions in answered:
            self.skew.observe(np.abs(predictions.event_time - predictions.answered_at).max() / np.timedelta64(1, "s"))
            for (variant, version), rows in Counter(zip(predictions.variant, predictions.version, strict=True)).items():
                self._answered(variant, version).inc(rows)
            failed = sum(error is not None for error in predictions.error)
            if failed:
                self.fallbacks.inc(failed)

    def count_missing(self, missing: Mapping[str, int], absent: list[Absent]) -> None:
        """Count missing values, given by feature, and the rows for which views had none."""
        for (view, kind), rows in Counter((one.view, one.kind) for one in absent).items():
            self._absent(view, kind).inc(rows)
        for name, count in missing.items():
            self._missing(name).inc(count)

    def text(self) -> bytes:
        """Return the metrics of this process, or of all that answer together, in Prometheus' text format."""
        folder = os.environ.get(METRICS_FOLDER)
        if folder is None:
            return generate_latest(self.registry)
        _forget_dead(Path(folder))
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _forget_dead(folder: Path) -> None:
    """Drop the gauges of processes that have ended; their counters stay."""
    for path in folder.glob("gauge_live*.db"):
        process = int(re.findall(r"\d+", path.name)[-1])
        if not _runs(process):
            multiprocess.mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
