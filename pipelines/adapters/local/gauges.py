"""What batch work measured, as a text file that Prometheus' node exporter reads, or anyone else."""

from collections.abc import Iterable
from pathlib import Path

from monitoring.measures import Measure


class TextGauges:
    """Implements :class:`pipelines.ports.Gauges` with one file for each kind of work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, work: str, measures: Iterable[Measure]) -> None:
        """See the port; the file is replaced whole."""
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

        registry, gauges = CollectorRegistry(), {}
        for measure in measures:
            if measure.name not in gauges:
                told = f"Measured by the pipeline {work}."
                gauges[measure.name] = Gauge(measure.name, told, list(measure.labels), registry=registry)
            gauge = gauges[measure.name]
            (gauge.labels(**measure.labels) if measure.labels else gauge).set(measure.value)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(self._folder / f"{work}.prom"), registry)
