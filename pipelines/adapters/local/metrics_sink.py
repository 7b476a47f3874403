"""Writes the metrics of batch runs into text files, for Prometheus' node exporter and for people."""

from collections.abc import Iterable
from pathlib import Path

from monitoring.measures import Measure, metrics_sink


class TextGauges:
    """Implements :class:`pipelines.storage.ports.MetricsSink` with one file for each kind of work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, work: str, measures: Iterable[Measure]) -> None:
        """See the port; the file is replaced whole."""
        from prometheus_client import CollectorRegistry, write_to_textfile

        registry = CollectorRegistry()
        metrics_sink(measures, f"Measured by the pipeline {work}.", registry)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(self._folder / f"{work}.prom"), registry)
