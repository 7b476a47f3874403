"""The monitor pipeline: joins the champion's predictions with labels, measures them, and checks the bounds.

join_labels → measure → alarm. An alarm that a new model could help with becomes an event for continuous training; the
calendar and new labels do as well.
"""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import AwareDatetime, Field

from monitoring.alarms import Alarm, Measurements
from pipelines.config import StrictModel, Variant


class MonitorParams(StrictModel):
    """The moment at which the window ends."""

    as_of: AwareDatetime


class Watched(StrictModel):
    """The model that is measured, None before the first release; and why files of the log are left out, by key."""

    champion: Variant | None
    unreadable: dict[str, str] = Field(default_factory=dict)


class Labelled(NamedTuple):
    """Who is watched, and its predictions in the window with their labels, null while unknown."""

    watched: Watched
    predictions: pa.Table


class Trigger(StrictModel):
    """Why a new model may be needed."""

    kind: str
    reason: str
    at: datetime


class MonitorReport(StrictModel):
    """The measurements of one run of the monitor, the alarms that it raised, and what it asked for a new model by."""

    measured: Measurements
    alarms: tuple[Alarm, ...]
    triggers: tuple[Trigger, ...] = ()
