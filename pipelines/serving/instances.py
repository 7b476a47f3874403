"""What each instance of the serving app says that it serves: one small object each, written while it lives.

``serving/<environment>/<slot>.json`` in the object store. An instance takes the slot of one that is silent, or else a
new one, so that there are never more objects than instances that lived at once.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime

from pipelines.config import StrictModel, Variant
from pipelines.contracts import keys
from pipelines.serving.questions import ServingAnswer, open_questions
from pipelines.storage.ports import ObjectStore, Unavailable

log = logging.getLogger(__name__)

HEARTBEAT = timedelta(seconds=20)
"""How often an instance says the same again."""

EXPIRY = 3 * HEARTBEAT
"""After which silence an instance counts as gone."""


class Standing(StrictModel):
    """Where an instance stands.

    Attributes:
        transition: the latest of the release log that it took or refused; 0 before the first.
        serves: the transition that it answers with; None when it cannot answer.
        champion, challenger: the models that it loaded.
        error: why it does not serve the transition in full; empty when it does.
    """

    transition: int = 0
    serves: int | None = None
    champion: Variant | None = None
    challenger: Variant | None = None
    error: str = ""


class InstanceReport(StrictModel):
    """Where an instance stood, and when.

    ``code`` is the commit that it runs, ``answers`` are those to the open questions, ``stopped`` marks its last word.
    """

    instance: str
    at: AwareDatetime
    standing: Standing
    code: str = ""
    answers: tuple[ServingAnswer, ...] = ()
    stopped: bool = False

    def is_alive(self, now: datetime) -> bool:
        """Whether the instance reported lately."""
        return not self.stopped and now - self.at < EXPIRY


def read_reports(objects: ObjectStore, environment: str) -> list[InstanceReport]:
    """Return the last word of each instance that still has its slot, those that are gone among them."""
    return [report for _, report in _slots(objects, environment)]


def alive(reports: Sequence[InstanceReport], now: datetime | None = None) -> list[InstanceReport]:
    """Return the reports of the instances that reported lately."""
    return [report for report in reports if report.is_alive(now or datetime.now(UTC))]


class Announcer:
    """Writes where one instance stands and which asked models it can serve, when that changes and as a heartbeat."""

    def __init__(self, objects: ObjectStore, environment: str, instance: str | None = None, code: str = "") -> None:
        self._objects, self._environment, self._code = objects, environment, code
        self.instance = instance or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._key: str | None = None
        self._said: InstanceReport | None = None
        self._answers: tuple[ServingAnswer, ...] = ()

    def answer(self, unservable: Callable[[Variant], str]) -> None:
        """ServingAnswer the open questions that were not answered yet; :meth:`say` writes the answers.

        ``unservable`` returns why the instance cannot serve a model, empty when it can. When a store fails, the
        question stays open until the next call.
        """
        given = {(one.model, one.asked_at): one for one in self._answers}
        answers = []
        for asked in open_questions(self._objects, self._environment):
            model, at = asked.variant.model, asked.at
            try:
                answers.append(
                    given.get((model, at)) or ServingAnswer(model=model, asked_at=at, error=unservable(asked.variant))
                )
            except (Unavailable, OSError) as error:  # which says nothing of the model
                log.warning("question not answered model=%s reason=%s", model, error)
        self._answers = tuple(answers)

    def try_to_answer(self, unservable: Callable[[Variant], str]) -> None:
        """As :meth:`answer`; a store that fails is told in the log."""
        try:
            self.answer(unservable)
        except Exception as error:
            log.warning("questions not read reason=%s", error)

    def say(self, standing: Standing, stopped: bool = False) -> None:
        """Write where the instance stands, unless that was said within the heartbeat."""
        now, said = datetime.now(UTC), self._said
        known = said and (said.standing, said.answers) == (standing, self._answers)
        if said and known and not stopped and now - said.at < HEARTBEAT:
            return
        report = InstanceReport(
            instance=self.instance, at=now, standing=standing, code=self._code, answers=self._answers, stopped=stopped
        )
        if self._key is None or not self._is_ours(self._key):
            self._key = self._claim(report)
        else:
            self._objects.write(self._key, report.to_json())
        self._said = report

    def try_to_say(self, standing: Standing, stopped: bool = False) -> None:
        """As :meth:`say`; a store that fails is told in the log, for serving goes on without it."""
        try:
            self.say(standing, stopped)
        except Exception as error:
            log.warning("standing not written reason=%s", error)

    def _is_ours(self, key: str) -> bool:
        """Say whether nobody else took the slot, as when two took that of a third at once."""
        data = self._objects.read(key)
        return data is not None and InstanceReport.from_json(data).instance == self.instance

    def _claim(self, report: InstanceReport) -> str:
        slots = _slots(self._objects, self._environment)
        for key, holder in slots:
            if not holder.is_alive(report.at):
                self._objects.write(key, report.to_json())
                return key
        number = len(slots)
        while not self._objects.create(key := _key(self._environment, number), report.to_json()):
            number += 1
        return key


def _slots(objects: ObjectStore, environment: str) -> list[tuple[str, InstanceReport]]:
    found = []
    for key in objects.keys(keys.instances(environment)):
        data = objects.read(key)
        try:
            found.append((key, InstanceReport.from_json(data or b"")))
        except ValueError:  # a stray file, or one of another version of the app
            continue
    return found


def _key(environment: str, slot: int) -> str:
    return f"{keys.instances(environment)}{slot:04d}.json"
