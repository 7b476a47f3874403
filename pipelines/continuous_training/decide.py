"""Steps 27 and 28: collect the triggers, and decide whether to train."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipelines.config import ContinuousTraining, Problem, format_duration
from pipelines.continuous_training import ContinuousTrainingParams, Decision, Triggers
from pipelines.monitor import Trigger
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import ObjectStore, Queue

_MONTH = timedelta(days=30)


def collect(params: ContinuousTrainingParams, events: Queue) -> Triggers:
    """Return the waiting triggers; they stay in the queue until the training is done or declined."""
    messages = events.receive()
    triggers = [Trigger.from_json(message.body) for message in messages]
    if params.manual:
        triggers.append(Trigger(kind="manual", reason=params.manual, at=params.as_of))
    return Triggers(triggers=tuple(triggers), receipts=tuple(message.receipt for message in messages))


def decide(
    params: ContinuousTrainingParams,
    run: RunInfo,
    problem: Problem,
    objects: ObjectStore,
    releases: ReleaseLog,
    triggers: Triggers,
) -> Decision:
    """Decide, and keep the decision; a failed training starts no cooldown."""
    known = decisions(objects, f"decisions/{releases.environment}/")
    trained = [one.at for one in known if one.model and one.automatic and one.at < params.as_of]
    train, reason = _decide(params, problem.config.continuous_training, trained, triggers.triggers)
    decision = Decision(
        at=params.as_of,
        train=train,
        automatic=all(trigger.kind != "manual" for trigger in triggers.triggers),
        reason=reason,
        triggers=triggers.triggers,
        run_id=run.run_id,
    )
    keep(objects, releases.environment, run, decision)
    return decision


def keep(objects: ObjectStore, environment: str, run: RunInfo, decision: Decision) -> None:
    """Keep a run's decision; once the training ended, keep it again with the outcome."""
    objects.write(f"decisions/{environment}/{decision.at:%Y-%m-%dT%H%M}-{run.run_id}.json", decision.to_json())


def decisions(objects: ObjectStore, folder: str) -> list[Decision]:
    """Return every decision on record, oldest first."""
    return [Decision.from_json(objects.read(key) or b"") for key in objects.keys(folder)]


def _decide(
    params: ContinuousTrainingParams,
    limits: ContinuousTraining,
    trained: Sequence[datetime],
    triggers: Sequence[Trigger],
) -> tuple[bool, str]:
    """Return whether to train, and why; ``trained`` holds the times of the automatic trainings, oldest first."""
    manual = [trigger for trigger in triggers if trigger.kind == "manual"]
    if not triggers:
        return False, "nothing asks for a new model"
    if manual:
        return True, manual[0].reason
    if trained and params.as_of < (free := trained[-1] + limits.cooldown):
        cooldown = format_duration(limits.cooldown)
        return False, f"trained on {trained[-1]:%Y-%m-%d}; the cooldown of {cooldown} ends on {free:%Y-%m-%d}"
    lately = [at for at in trained if at > params.as_of - _MONTH]
    if limits.monthly is not None and len(lately) >= limits.monthly:
        free = lately[-limits.monthly] + _MONTH
        return False, f"trained {len(lately)} times in 30 days, which is the budget; the next may be on {free:%Y-%m-%d}"
    return True, triggers[0].reason
