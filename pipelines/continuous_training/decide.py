"""Steps 27 and 28: collect the triggers, and decide whether to train."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipelines.config import ContinuousTraining, Problem, format_duration
from pipelines.continuous_training import ContinuousTrainingParams, Decision, Triggers
from pipelines.contracts import keys
from pipelines.monitor import Trigger
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import ObjectStore, Queue

_MONTH = timedelta(days=30)
_BATCH = 16  # decisions that are listed at once


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
    limits = problem.config.continuous_training
    trained = _trained(objects, releases.environment, params.as_of, limits)
    train, reason = _decide(params, limits, trained, triggers.triggers)
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
    """Keep a run's decision, a yes also among the trainings; once the training ended, again with the outcome."""
    for folder in (keys.trainings(environment), keys.decisions(environment))[not decision.train :]:
        objects.write(keys.decision(folder, decision.at, run.run_id), decision.to_json())


def decisions(objects: ObjectStore, environment: str) -> list[Decision]:
    """Return every decision on record, oldest first: a read each."""
    found = [Decision.from_json(objects.read(key) or b"") for key in objects.keys(keys.decisions(environment))]
    return sorted(found, key=lambda one: one.at)


def latest_training(objects: ObjectStore, environment: str) -> Decision | None:
    """Return the latest decision to train, if any: a listing and a read; of those of one moment that of the last id."""
    listed = objects.first(folder := keys.trainings(environment), _BATCH)
    if not listed:
        return None
    moment = listed[0].removeprefix(folder).partition(".")[0]
    latest = max(key for key in listed if key.startswith(f"{folder}{moment}."))
    return Decision.from_json(objects.read(latest) or b"")


def _trained(objects: ObjectStore, environment: str, before: datetime, limits: ContinuousTraining) -> list[datetime]:
    """Return when automatic trainings were decided on that led to a model, oldest first, as far as limits look back."""
    since, wanted = before - max(_MONTH, limits.cooldown), limits.monthly or 1
    folder = keys.trainings(environment)
    found: list[datetime] = []
    after = keys.decisions_before(folder, before)
    while listed := objects.first(folder, _BATCH, after):
        for key in listed:
            one = Decision.from_json(objects.read(key) or b"")
            if one.at <= since or len(found) == wanted:
                return found[::-1]
            if one.model and one.automatic:
                found.append(one.at)
        after = listed[-1]
    return found[::-1]


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
