"""Step 28: run the training pipeline when that was decided."""

from pipelines.continuous_training import ContinuousTrainingParams, Decision, Launch, Retrained
from pipelines.spec import RunInfo
from pipelines.training import Candidate, TrainingParams


def retrain(params: ContinuousTrainingParams, run: RunInfo, launch: Launch, decision: Decision) -> Retrained:
    """Run the training pipeline under a run id made from this one's, so that a killed run resumes it."""
    if not decision.train:
        return Retrained(decision=decision)
    training = TrainingParams(as_of=params.as_of, reason=decision.reason)
    candidate: Candidate = launch("training", training, f"{run.run_id}-training")
    return Retrained(decision=decision, model=candidate.model, version=candidate.version, accepted=candidate.accepted)
