"""Step 27: check the measurements against their bounds, and feed alarms back as events."""

import logging

from monitoring.alarms import Measurements, alarms, is_broken
from monitoring.measures import ALARMS, RAISED, RETRAIN, measures
from pipelines.config import Problem
from pipelines.contracts import keys
from pipelines.contracts.rendered import RenderedAlarm
from pipelines.monitor import MonitorParams, MonitorReport, Trigger
from pipelines.monitor.due import due
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import MetricsSink, ObjectStore, Queue
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)


def alarm(
    params: MonitorParams,
    problem: Problem,
    objects: ObjectStore,
    events: Queue,
    metrics_sink: MetricsSink,
    releases: ReleaseLog,
    models: ModelStore,
    tables: Tables,
    measured: Measurements,
) -> MonitorReport:
    """Raise alarms, send an event for each that a new model could help with, keep the report, and publish metrics.

    The calendar and new labels send one too, while no data is broken.
    """
    raised = alarms(problem.config, measured)
    for one in raised:
        log.warning("alarm name=%s reason=%s", one.name, one.reason)
    asks = [Trigger(kind="alarm", reason=f"{one.name}: {one.reason}", at=params.as_of) for one in raised if one.retrain]
    if not any(is_broken(one) for one in raised):
        asks += due(problem, tables, models, params.as_of)
    report = MonitorReport(measured=measured, alarms=tuple(raised), triggers=tuple(asks))
    for trigger in asks:
        events.send(trigger.to_json())
    objects.write(keys.monitor_report(releases.environment, params.as_of), report.to_json())
    metrics_sink.send("monitor", measures(measured, raised))
    return report


def rendered_alarms() -> dict[str, RenderedAlarm]:
    """Return the alarms on the monitors' results for infrastructure; the bounds are those of ``problem.toml``."""
    return {
        name: RenderedAlarm(
            metric=RAISED,
            statistic="Maximum",
            comparison=">=",
            threshold=1,
            minutes=60,
            dimensions={"alarm": name},
            meaning=meaning,
            retrain=name in RETRAIN,
        )
        for name, meaning in ALARMS.items()
    }
