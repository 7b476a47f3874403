"""Continuous training: from triggers to a decision, and from a yes to a candidate that the gates judged.

collect → decide → retrain. Every decision is kept, a "no" too. People decide whether to release the candidate.
"""

from datetime import datetime
from typing import Any, Protocol

from pydantic import AwareDatetime

from pipelines.config import StrictModel
from pipelines.monitor import Trigger


class RunPipeline(Protocol):
    """Runs other pipelines."""

    def __call__(self, name: str, params: StrictModel, run_id: str) -> Any:
        """Run a pipeline to its end and return its output; the same run id resumes it."""


class ContinuousTrainingParams(StrictModel):
    """The moment to decide at, and a person's reason to train, to which no cooldown applies."""

    as_of: AwareDatetime
    manual: str | None = None


class Triggers(StrictModel):
    """The triggers waiting, and the receipts to delete them with."""

    triggers: tuple[Trigger, ...]
    receipts: tuple[str, ...]


class Decision(StrictModel):
    """Whether to train, why, and on which triggers.

    ``run_id`` is the run that decided, ``model`` the training's candidate, once there is one.
    """

    at: datetime
    train: bool
    automatic: bool
    reason: str
    triggers: tuple[Trigger, ...]
    run_id: str = ""
    model: str | None = None


class Retrained(StrictModel):
    """The candidate of a training that was decided on, if any, and whether it passed its gates."""

    decision: Decision
    model: str | None = None
    version: int | None = None
    accepted: bool = False
