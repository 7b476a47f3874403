"""The scheduled work on waiting triggers: follows a training that is under way, or decides on a new one.

It does not wait for a training on SageMaker or on a cluster: it starts one, and the next call finds its end.
"""

from datetime import datetime

from pipelines.bootstrap import Platform, pipeline
from pipelines.config import StrictModel, UserError
from pipelines.continuous_training import ContinuousTrainingParams, Decision, Retrained
from pipelines.continuous_training.decide import latest_training
from pipelines.contracts import keys
from pipelines.entrypoints.launch import start_elsewhere
from pipelines.training import TrainingParams


class Drained(StrictModel):
    """The result of one look at the queue: the candidate's ``version``, and why its gates ``refused`` it.

    ``ended`` says whether this look found the end of a decision; otherwise there is nothing new to tell people.
    """

    says: str
    ended: bool = False
    run_id: str = ""
    version: int | None = None
    accepted: bool = False
    refused: tuple[str, ...] = ()


def drain(platform: Platform, as_of: datetime, manual: str | None) -> Drained:
    """Decide on the waiting triggers and start the training; any number of calls at once make one candidate.

    On the embedded profile the training runs here, to its end. A killed run is resumed; a failed one leaves its
    triggers in the queue for another decision.
    """
    chosen = pipeline("continuous_training")
    under_way, status = _under_way(platform)
    if status == "executing":
        return Drained(run_id=under_way, says="its training is under way")
    if not under_way and not manual and not platform.events.depth().waiting:
        return Drained(says="nothing asks for a new model")
    run_id = under_way or f"{_name(platform)}{_decided(platform) + 1:06d}"
    if not platform.runner.exists(chosen, run_id):
        platform.runner.start(chosen, ContinuousTrainingParams(as_of=as_of, manual=manual), run_id)
    platform.runner.run(chosen, run_id, before="retrain")
    _mark_decided(platform, run_id)
    if platform.profile.executions:
        decision: Decision = platform.runner.output(chosen, "decide", run_id)
        if decision.train and status != "succeeded":
            return _started(platform, run_id, decision)
    return _told(platform, run_id, platform.runner.run(chosen, run_id))


def _under_way(platform: Platform) -> tuple[str, str | None]:
    """Return the run of the latest decision to train and where its training stands; "" when that ended or failed."""
    latest = latest_training(platform.objects, platform.settings.environment)
    if latest is None or latest.model or _failed_step(platform, f"{latest.run_id}-training"):
        return "", None
    status = _status(platform, f"{latest.run_id}-training")
    return ("", None) if status == "failed" else (latest.run_id, status)


def _failed_step(platform: Platform, run_id: str) -> bool:
    records = [platform.runner.record(run_id, step) for step in pipeline("training").steps]
    return any(record and record.status == "failed" for record in records)


def _status(platform: Platform, run_id: str) -> str | None:
    """Return where a training elsewhere stands, or None for one that runs here or was not started yet."""
    executions = platform.profile.executions
    if executions is None:
        return None
    try:
        return executions.outcome(platform.runner, pipeline("training"), run_id).status
    except UserError:
        return None


def _name(platform: Platform) -> str:
    """Return how the ids of runs begin that a look at the queue starts; a number follows."""
    return f"continuous_training-{platform.settings.environment}-"


def _decided(platform: Platform) -> int:
    """Return the number of the last look at the queue that led to a decision; 0 before the first."""
    latest = platform.objects.first(keys.drained(platform.settings.environment), 1)
    return keys.drained_number(latest[0]) if latest else 0


def _mark_decided(platform: Platform, run_id: str) -> None:
    """Say that a numbered run decided, so that the next look has another number; safe to do twice."""
    number = run_id.removeprefix(_name(platform))
    if number != run_id and number.isdecimal():
        platform.objects.write(keys.drained(platform.settings.environment, int(number)), b"")


def _started(platform: Platform, run_id: str, decision: Decision) -> Drained:
    """Start the training of a decision, under the run id by which ``retrain`` finds it later."""
    training, own = pipeline("training"), f"{run_id}-training"
    platform.runner.start(training, TrainingParams(as_of=decision.at, reason=decision.reason), own)
    name = start_elsewhere(platform, training, own)
    return Drained(run_id=run_id, says=f"training started as {name}: {decision.reason}")


def _told(platform: Platform, run_id: str, done: Retrained) -> Drained:
    if done.model is None:
        return Drained(run_id=run_id, ended=True, says=f"no training: {done.decision.reason}")
    gates = platform.models.manifest(done.model).gates
    refused = tuple(f"{gate.gate}: {gate.reason}" for gate in gates if not gate.passed)
    says = f"v{done.version} {'passed its gates' if done.accepted else 'was refused'}: {done.decision.reason}"
    return Drained(run_id=run_id, ended=True, says=says, version=done.version, accepted=done.accepted, refused=refused)
