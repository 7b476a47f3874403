"""Sends the metrics of the serving app and the monitors to CloudWatch, under their names in Prometheus.

Prometheus scrapes totals and CloudWatch adds values up, so counters and histograms are sent as differences; each
process sends its own, each minute. Metrics that could not be sent are part of the next difference.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

from monitoring.measures import Measure
from pipelines.adapters.aws.clients import asking

log = logging.getLogger(__name__)

_AT_ONCE = 500  # metrics in a request, of which CloudWatch takes 1000 and a megabyte
_TOTALS = ("_total", "_count", "_sum")


class CloudWatchGauges:
    """Implements :class:`pipelines.storage.ports.MetricsSink`."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client, self._namespace = client, namespace

    def send(self, _work: str, measures: Iterable[Measure]) -> None:
        """See the port."""
        data = [_datum(measure.name, sorted(measure.labels.items()), measure.value) for measure in measures]
        for first in range(0, len(data), _AT_ONCE):
            with asking("CloudWatch"):
                self._client.put_metric_data(Namespace=self._namespace, MetricData=data[first : first + _AT_ONCE])


class _Sample(NamedTuple):
    name: str
    labels: tuple[tuple[str, str], ...]


class CloudWatchMetrics:
    """Sends a registry's metrics into a namespace, from a thread of its own, until :meth:`close`."""

    def __init__(self, client: Any, namespace: str, registry: CollectorRegistry, seconds: float = 60) -> None:
        self._client, self._namespace, self._registry, self._seconds = client, namespace, registry, seconds
        self._sent: dict[_Sample, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloudwatch", daemon=True)
        self._thread.start()

    def send(self) -> None:
        """Send the increments since the last call, and the gauges."""
        now = dict(_samples(self._registry))
        changed = {sample: value for sample, value in now.items() if value != self._sent.get(sample, 0.0)}
        metrics_sink = {sample: value for sample, value in now.items() if not sample.name.endswith(_TOTALS)}
        wanted = [*changed.keys() - metrics_sink.keys(), *metrics_sink]
        for first in range(0, len(wanted), _AT_ONCE):
            part = wanted[first : first + _AT_ONCE]
            data = [self._datum(sample, now[sample]) for sample in part]
            with asking("CloudWatch"):
                self._client.put_metric_data(Namespace=self._namespace, MetricData=data)
            self._sent |= {sample: now[sample] for sample in part}

    def close(self) -> None:
        """Send the last increments, and stop."""
        self._closing.set()
        self._thread.join()

    def _datum(self, sample: _Sample, value: float) -> dict[str, Any]:
        if sample.name.endswith(_TOTALS):
            value -= self._sent.get(sample, 0.0)
        return _datum(sample.name, sample.labels, value)

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            self._try_to_send()
        self._try_to_send()

    def _try_to_send(self) -> None:
        try:
            self.send()
        except Exception as error:  # serving survives any failure of its metrics
            log.warning("metrics not sent reason=%s", error)


def _datum(name: str, labels: Iterable[tuple[str, str]], value: float) -> dict[str, Any]:
    dimensions = [{"Name": label, "Value": text} for label, text in labels if text]
    return {"MetricName": name, "Dimensions": dimensions, "Value": value}


def _samples(registry: CollectorRegistry) -> Iterator[tuple[_Sample, float]]:
    """Yield the samples that Prometheus would scrape, without histogram buckets and creation times."""
    for metric in registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                yield _Sample(sample.name, tuple(sorted(sample.labels.items()))), float(sample.value)
