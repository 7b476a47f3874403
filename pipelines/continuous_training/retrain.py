"""Step 28: run the training pipeline if the decision is yes."""

from pipelines.continuous_training import ContinuousTrainingParams, Decision, Retrained, RunPipeline, Triggers
from pipelines.continuous_training.decide import keep
from pipelines.orchestration.pipeline import RunInfo
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import ObjectStore, Queue
from pipelines.training import Candidate, TrainingParams


def retrain(
    params: ContinuousTrainingParams,
    run: RunInfo,
    run_pipeline: RunPipeline,
    objects: ObjectStore,
    events: Queue,
    releases: ReleaseLog,
    triggers: Triggers,
    decision: Decision,
) -> Retrained:
    """Run the training pipeline if the decision is yes, then delete the triggers from the queue.

    Its run id derives from this run's, so a killed run resumes it.
    """
    outcome = Retrained(decision=decision)
    if decision.train:
        training = TrainingParams(as_of=params.as_of, reason=decision.reason)
        candidate: Candidate = run_pipeline("training", training, f"{run.run_id}-training")
        keep(objects, releases.environment, run, decision.model_copy(update={"model": candidate.model}))
        outcome = outcome.model_copy(
            update={"model": candidate.model, "version": candidate.version, "accepted": candidate.accepted}
        )
    events.delete(triggers.receipts)
    return outcome
