"""An inquiry: asks every live instance of the serving app whether it can serve models, before a release moves.

The code of a command may be other than that of the instances. Who is silent too long is told, and stops nothing: an
instance of a serverless endpoint may be frozen between two requests.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from pipelines.config import Variant
from pipelines.serving.instances import InstanceReport, alive, read_reports
from pipelines.serving.questions import ServingAnswer, ServingQuestion, ask, open_questions
from pipelines.storage.ports import ObjectStore

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2

_FRESH = timedelta(minutes=1)
"""How long a question stands for the commands that follow; far shorter than it is open."""


class Inquiry(NamedTuple):
    """Asks the instances of an environment, and waits at most ``seconds`` for each to answer; 0 asks nobody.

    ``pause`` passes the time between two looks at the answers.
    """

    objects: ObjectStore
    environment: str
    seconds: float
    pause: Callable[[], None] = partial(time.sleep, _LOOK_SECONDS)

    def unservable(self, variants: Iterable[Variant]) -> Mapping[str, str]:
        """Return, by the digests of models that some instance cannot serve, which instances cannot, and why."""
        wanted = {variant.model: variant for variant in variants}
        if not self.seconds or not wanted or not self._heard():
            return {}
        questions = self._asked(wanted)
        deadline = max(question.at for question in questions) + timedelta(seconds=self.seconds)
        while (silent := _silent(self._heard(), questions)) and datetime.now(UTC) < deadline:
            self.pause()
            if missing := self._missing(questions):  # another command wrote at the same time
                ask(self.objects, self.environment, missing)
        if silent:
            named = " and ".join(f"v{question.variant.version}" for question in questions)
            log.warning("%s did not say in time whether %s can be served there", ", ".join(silent), named)
        refused: dict[str, list[str]] = {}
        for report in self._heard():
            for question in questions:
                if (answer := _answer(report, question)) and answer.error:
                    refused.setdefault(answer.model, []).append(f"instance {report.instance}: {answer.error}")
        return {model: "; ".join(reasons) for model, reasons in refused.items()}

    def _heard(self) -> Sequence[InstanceReport]:
        return alive(read_reports(self.objects, self.environment))

    def _asked(self, wanted: Mapping[str, Variant]) -> list[ServingQuestion]:
        """Return a question for each model: a fresh one, or a new one where there is none or the answer was no.

        So the steps of a command, and commands in a row, wait for an answer once; and what was mended is asked anew.
        """
        heard, now = self._heard(), datetime.now(UTC)
        standing = {
            question.variant.model: question
            for question in open_questions(self.objects, self.environment)
            if now - question.at < _FRESH
            and not any((answer := _answer(report, question)) and answer.error for report in heard)
        }
        new = [ServingQuestion(variant=variant, at=now) for model, variant in wanted.items() if model not in standing]
        if new:
            ask(self.objects, self.environment, new)
        return [*new, *(standing[model] for model in wanted if model in standing)]

    def _missing(self, questions: Iterable[ServingQuestion]) -> list[ServingQuestion]:
        at = {one.variant.model: one.at for one in open_questions(self.objects, self.environment)}
        return [one for one in questions if one.variant.model not in at or at[one.variant.model] < one.at]


def _answer(report: InstanceReport, question: ServingQuestion) -> ServingAnswer | None:
    """Return an instance's answer to a question, or to a later one about the same model."""
    for answer in report.answers:
        if answer.model == question.variant.model and answer.asked_at >= question.at:
            return answer
    return None


def _silent(heard: Iterable[InstanceReport], questions: Iterable[ServingQuestion]) -> list[str]:
    """Return the live instances that did not answer each question."""
    asked = list(questions)
    return [report.instance for report in heard if not all(_answer(report, question) for question in asked)]
