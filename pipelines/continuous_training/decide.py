"""Steps 27 and 28: take the triggers in, and decide whether to train."""

from datetime import datetime

from pipelines.continuous_training import ContinuousTrainingParams, Decision, Triggers
from pipelines.monitor import Trigger
from pipelines.ports import ObjectStore, Queue
from pipelines.release_log import ReleaseLog
from pipelines.spec import Problem, RunInfo, format_duration


def collect(params: ContinuousTrainingParams, events: Queue) -> Triggers:
    """Return the triggers that wait; they stay in the queue until what they asked for is done or declined."""
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
    """Decide, and keep the decision. A training that failed starts no cooldown."""
    cooldown = problem.statement.continuous_training.cooldown
    folder = f"decisions/{releases.environment}/"
    last = max(
        (one.at for one in decisions(objects, folder) if one.model and one.automatic and one.at < params.as_of),
        default=None,
    )
    decision = _decide(params, triggers, last, format_duration(cooldown), last and last + cooldown)
    keep(objects, releases.environment, run, decision)
    return decision


def keep(objects: ObjectStore, environment: str, run: RunInfo, decision: Decision) -> None:
    """Keep a run's decision, or keep it again with what came of it."""
    objects.write(f"decisions/{environment}/{decision.at:%Y-%m-%dT%H%M}-{run.run_id}.json", decision.to_json())


def decisions(objects: ObjectStore, folder: str) -> list[Decision]:
    """Return every decision on record, oldest first."""
    return [Decision.from_json(objects.read(key) or b"") for key in objects.keys(folder)]


def _decide(
    params: ContinuousTrainingParams, found: Triggers, last: datetime | None, cooldown: str, free: datetime | None
) -> Decision:
    manual = [trigger for trigger in found.triggers if trigger.kind == "manual"]
    if not found.triggers:
        train, reason = False, "nothing asks for a new model"
    elif manual:
        train, reason = True, manual[0].reason
    elif last and free and params.as_of < free:
        train, reason = False, f"trained on {last:%Y-%m-%d}; the cooldown of {cooldown} ends on {free:%Y-%m-%d}"
    else:
        train, reason = True, found.triggers[0].reason
    return Decision(at=params.as_of, train=train, automatic=not manual, reason=reason, triggers=found.triggers)
