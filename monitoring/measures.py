"""The monitors' measurements as metrics, under the same names in Prometheus and in CloudWatch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from monitoring.alarms import Alarm, Measurements

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

RAISED = "alarm_raised"
"""1 while an alarm is raised, and 0 else, by the label ``alarm``."""

ALARMS = {
    "performance": "The champion's quality left its bounds on the labels that have come.",
    "data": "Features are missing or new, one source moved alone, or the log cannot be read: data is broken.",
    "silence": "The champion was in service, and nothing was predicted.",
    "drift": "More features than allowed have moved since the champion was trained.",
    "label_coverage": "Too few of the labels that are due have come, so that quality is not known.",
}
"""The alarms of :mod:`monitoring.alarms`, by what their names begin with, and what they mean."""


RETRAIN = ("drift", "performance")
"""The alarms that ask for a new model. While one does not, because data is broken, its metric stays 0."""


class Measure(NamedTuple):
    """A value by name and labels."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


def measures(measured: Measurements, raised: Iterable[Alarm]) -> list[Measure]:
    """Return the measurements that have a value, and whether each alarm is raised."""
    named = [(alarm.name.partition(".")[0], alarm.retrain) for alarm in raised]
    kinds = {kind for kind, retrain in named if retrain or kind not in RETRAIN}
    coverage = [] if measured.coverage is None else [Measure("label_coverage", measured.coverage)]
    skew = [] if measured.clock_skew is None else [Measure("clock_skew_seconds", measured.clock_skew)]
    moved = [] if measured.prediction_drift is None else [Measure("prediction_drift", measured.prediction_drift)]
    found = [
        Measure("monitored_predictions", measured.predictions),
        Measure("monitored_labels", measured.labels),
        Measure("unreadable_log_files", len(measured.unreadable)),
        *coverage,
        *skew,
        *moved,
        *_each("model_quality", "metric", measured.quality),
        *_each("feature_drift", "feature", measured.drift),
        *_each("feature_missing_share", "feature", measured.missing),
        *(Measure(RAISED, float(kind in kinds), {"alarm": kind}) for kind in ALARMS),
    ]
    return [measure for measure in found if math.isfinite(measure.value)]


def metrics_sink(measures: Iterable[Measure], about: str, registry: "CollectorRegistry") -> None:
    """Put the measures into a Prometheus registry: a gauge for each name, with ``about`` as its help text."""
    from prometheus_client import Gauge

    made: dict[str, Gauge] = {}
    for one in measures:
        if one.name not in made:
            made[one.name] = Gauge(one.name, about, list(one.labels), registry=registry)
        (made[one.name].labels(**one.labels) if one.labels else made[one.name]).set(one.value)


def _each(name: str, label: str, values: Mapping[str, float]) -> Iterator[Measure]:
    return (Measure(name, value, {label: key}) for key, value in values.items())
