"""The settings of a network and its training, with defaults for tables of some 100,000 rows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.config import StrictModel

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class NetworkSettings(StrictModel):
    """The settings of ``[training.settings.<estimator>]`` for a network.

    Attributes:
        numbers: how a number is embedded: piecewise-linear between quantiles, or by learnt cosines and sines.
        bins: intervals of a piecewise-linear embedding, or frequencies of a periodic one, for each number.
        width: units of each hidden layer.
        blocks: residual blocks of two layers.
        members: networks that share all weights but their first scaling and last layer, and whose logits are averaged.
        dropout: share of a block's output that is dropped in training.
        batch_rows: rows of one step of the optimiser, over all processes.
        accumulate: parts in which a step is computed, where a batch does not fit into memory.
        epochs: the most passes over the rows.
        patience: passes without a better loss on the held-out rows after which training ends.
        holdout: the share of the rows, the latest, that early stopping and calibration use.
        learning_rate: its peak, after a warm-up over the first ``warmup`` of all steps; then it falls as a cosine.
        weight_decay: of matrices; biases, scales and embeddings have none.
        average: decay, by step, of the moving average of the weights, which is the result of the training.
        precision: "auto" is bfloat16 on a GPU that has it and float32 elsewhere.
        compile: "auto" compiles the step on a GPU, where a second of training repays it.
        deterministic: let torch use deterministic algorithms.
        device: "auto" is a GPU when there is one.
        checkpoint_steps: steps between two checkpoints: what an interruption may lose.
    """

    numbers: Literal["piecewise", "periodic"] = "piecewise"
    bins: Annotated[int, Field(ge=2, le=256)] = 16
    width: Count = 128
    blocks: Annotated[int, Field(ge=0)] = 2
    members: Count = 1
    dropout: Share = 0.1
    batch_rows: Count = 2048
    accumulate: Count = 1
    epochs: Count = 12
    patience: Count = 3
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    learning_rate: Positive = 2e-3
    warmup: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    average: Share = 0.98
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "always", "never"] = "auto"
    deterministic: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_steps: Count = 200

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.batch_rows % self.accumulate:
            raise ValueError(f"batch_rows {self.batch_rows} does not divide into accumulate {self.accumulate} parts")
        return self
