"""The monitor pipeline: what the champion predicted, joined with labels as they come, measured, and held to bounds.

join_labels → measure → alarm. An alarm that a new model could help with becomes an event for continuous training.
"""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import AwareDatetime

from monitoring.alarms import Alarm, Measurements
from pipelines.config import StrictModel, Variant


class MonitorParams(StrictModel):
    """The moment to look back from."""

    as_of: AwareDatetime


class Labelled(NamedTuple):
    """The champion, and its predictions in the window with their labels, null while not known."""

    champion: Variant
    predictions: pa.Table


class MonitorReport(StrictModel):
    """What one look at the champion measured, and the alarms it raised."""

    measured: Measurements
    alarms: tuple[Alarm, ...]


class Trigger(StrictModel):
    """Why a new model may be needed."""

    kind: str
    reason: str
    at: datetime
