"""The training pipeline: from labelled requests to a judged candidate in the model store.

pin → extract → prepare → train → evaluate → run_gates → register. A fitted estimator never leaves the ``train`` step:
it is passed on as ONNX, because loading a pickle runs code.
"""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import AwareDatetime, Field

from pipelines.config import GateResult, Scalar, StrictModel


class TrainingParams(StrictModel):
    """The cut-off of a training, why it runs, and what it changes.

    ``as_of`` is the cut-off: only requests made and labels known before it are used. ``estimators`` overrides the
    choice in ``problem.toml``, ``settings`` single settings there, by estimator. ``profile`` writes a profile of
    estimators that support it.
    """

    as_of: AwareDatetime
    reason: str
    estimators: tuple[str, ...] = ()
    settings: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    profile: bool = False


class Pinned(StrictModel):
    """What a run starts from: the tables' snapshots, and the champion to beat."""

    snapshots: dict[str, int]
    champion_model: str | None


PARTS = ("train", "validation", "test")


class Split(StrictModel):
    """When the validation and the test period start, and how many rows of the frame each part has.

    The frame has the parts one after the other and nothing else. A period excludes its end.
    """

    train_start: datetime
    validation_start: datetime
    test_start: datetime
    end: datetime
    rows: dict[str, int]


class Choice(StrictModel):
    """The estimator that was chosen on the validation period, and every estimator's metrics there."""

    estimator: str
    settings: dict[str, Scalar]
    validation: dict[str, dict[str, float]]


class Trained(NamedTuple):
    """The chosen estimator as ONNX, and its own predictions for some test rows, for the parity gate."""

    onnx: bytes
    choice: Choice
    native: pa.Table


class QualityMetrics(StrictModel):
    """Metrics on the test period: of the candidate, of the champion on the same requests, and of slices.

    ``incomparable`` says why the champion could not be asked, where there is one and it could not.
    """

    candidate_metrics: dict[str, float]
    champion_metrics: dict[str, float] = Field(default_factory=dict)
    slices: dict[str, float] = Field(default_factory=dict)
    incomparable: str = ""


class Evaluated(NamedTuple):
    """The test metrics, and the test rows' event times, labels and predictions, the champion's included."""

    metrics: QualityMetrics
    predictions: pa.Table


class GateResults(StrictModel):
    """The results of the gates."""

    gates: tuple[GateResult, ...]


class Candidate(StrictModel):
    """A registered candidate: its digest, its version number, and whether it passed every gate."""

    model: str
    version: int
    accepted: bool
