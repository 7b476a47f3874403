"""The training pipeline, defined."""

from pipelines.orchestration.pipeline import Pipeline
from pipelines.training import TrainingParams
from pipelines.training.evaluate import evaluate
from pipelines.training.extract import extract, pin
from pipelines.training.gates import run_gates
from pipelines.training.prepare import prepare
from pipelines.training.register import register
from pipelines.training.train import train

PIPELINE = Pipeline(
    "training",
    TrainingParams,
    pinned=pin,
    frame=extract,
    split=prepare,
    trained=train,
    evaluated=evaluate,
    gate_results=run_gates,
    candidate=register,
)
