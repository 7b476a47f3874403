"""What commands ask all instances of the serving app: can you serve this model?

Instances have no addresses, so the questions are one small object in the store, which each instance reads at its poll.
An instance answers in its report (``pipelines/serving/instances.py``). A question expires by itself.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime

from pipelines.config import StrictModel, Variant
from pipelines.contracts import keys
from pipelines.storage.ports import ObjectStore

OPEN = timedelta(minutes=5)
"""How long a question is answered."""

MOST = 8
"""How many questions are open at most; the latest are. An instance loads each of the models once."""


class ServingQuestion(StrictModel):
    """Whether an instance can serve a model, asked at a time."""

    variant: Variant
    at: AwareDatetime


class ServingAnswer(StrictModel):
    """Why an instance cannot serve the model of a question, empty when it can."""

    model: str
    asked_at: AwareDatetime
    error: str = ""


class _Questions(StrictModel):
    questions: tuple[ServingQuestion, ...]


def open_questions(objects: ObjectStore, environment: str) -> list[ServingQuestion]:
    """Return the open questions, at most one for each model."""
    data = objects.read(keys.questions(environment))
    try:
        asked = _Questions.from_json(data).questions if data else ()
    except ValueError:  # of another version of the app
        return []
    oldest = datetime.now(UTC) - OPEN
    return [one for one in asked if one.at > oldest][-MOST:]


def ask(objects: ObjectStore, environment: str, questions: Iterable[ServingQuestion]) -> None:
    """Add questions to those that are open; of two about one model, the later counts."""
    found = {one.variant.model: one for one in open_questions(objects, environment)}
    for question in questions:
        known = found.get(question.variant.model)
        found[question.variant.model] = max(question, known, key=lambda one: one.at) if known else question
    kept = sorted(found.values(), key=lambda one: one.at)[-MOST:]
    objects.write(keys.questions(environment), _Questions(questions=tuple(kept)).to_json())
