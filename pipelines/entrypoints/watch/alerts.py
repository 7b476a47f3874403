"""Turns Alertmanager's messages into events, one for each firing alert, however often it is sent.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from pipelines.config import UserError
from pipelines.contracts import keys
from pipelines.monitor import Trigger
from pipelines.storage.ports import ObjectStore, Queue

RETRAIN = "retrain"  # the label of an alert that a new model could help with
RELEASE = "endpoint-"  # what the names of alerts begin with that the live release may be the cause of


class Alert(BaseModel):
    """An alert; ``fingerprint`` is made from its labels."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: AwareDatetime = Field(alias="startsAt")
    fingerprint: str = Field(pattern=r"^[0-9a-f]+$")

    @property
    def name(self) -> str:
        """The name of the alarm: the one in its labels ``alarm``, or else its rule's."""
        return self.labels.get("alarm") or self.labels.get("alertname", "alert")


class AlertGroup(BaseModel):
    """A message of Alertmanager, without the fields that are not needed."""

    version: Literal["4"]
    alerts: tuple[Alert, ...]


def read(body: bytes) -> AlertGroup:
    """Read a message of Alertmanager.

    Raises:
        UserError: for anything else.
    """
    try:
        return AlertGroup.model_validate_json(body)
    except ValidationError as error:
        (first, *_) = error.errors()
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"this is no message of Alertmanager, version 4: {where}: {first['msg']}") from error


def send_events(group: AlertGroup, events: Queue, objects: ObjectStore, environment: str) -> list[Trigger]:
    """Send an event for each firing alert that a new model could help with; return those sent.

    Alerts with the same labels and start are one alert. Its event is recorded after it was sent, so that a kill in
    between sends it twice rather than never; continuous training takes both in at once.
    """
    sent = []
    for alert in group.alerts:
        key = keys.alert(environment, alert.starts_at, alert.fingerprint)
        if alert.status == "firing" and alert.labels.get(RETRAIN) == "true" and objects.read(key) is None:
            trigger = _trigger(alert, alert.starts_at)
            events.send(trigger.to_json())
            objects.create(key, trigger.to_json())
            sent.append(trigger)
    return sent


def about_release(group: AlertGroup) -> bool:
    """Return whether an alert fires that the live release may have caused."""
    return any(
        alert.status == "firing" and alert.labels.get("alertname", "").startswith(RELEASE) for alert in group.alerts
    )


def _trigger(alert: Alert, at: datetime) -> Trigger:
    said = alert.annotations.get("summary", "")
    return Trigger(kind="alert", reason=f"{alert.name}: {said}" if said else alert.name, at=at)
