"""The continuous-training pipeline, defined."""

from pipelines.continuous_training import ContinuousTrainingParams
from pipelines.continuous_training.decide import collect, decide
from pipelines.continuous_training.retrain import retrain
from pipelines.orchestration.pipeline import Pipeline

PIPELINE = Pipeline("continuous_training", ContinuousTrainingParams, triggers=collect, decision=decide, outcome=retrain)
