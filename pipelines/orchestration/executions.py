"""Runs that a platform executes: SageMaker, or a Kubernetes cluster with Jobs."""

from typing import Literal, NamedTuple, Protocol

from pipelines.config import UserError
from pipelines.orchestration.pipeline import Pipeline
from pipelines.orchestration.runner import Runner

Status = Literal["executing", "succeeded", "failed"]


class RunOutcome(NamedTuple):
    """Where a run stands; also why, and the last lines of its log, where they say more than the status."""

    status: Status
    reason: str = ""
    log: tuple[str, ...] = ()


class ComputeRequest(NamedTuple):
    """What a run needs to train; None leaves the choice to the platform.

    Attributes:
        network: whether it trains a network; only networks use a GPU or several machines.
        machines: how many train the network together.
        gpu: whether each machine has a GPU.
    """

    network: bool = False
    machines: int | None = None
    gpu: bool | None = None


class Executions(Protocol):
    """Runs that a platform executes; a run counts as succeeded only by the outputs that it stored.

    ``place`` is the platform's name: SageMaker, or Kubernetes.
    """

    place: str

    def start(self, pipeline: Pipeline, run_id: str, compute: ComputeRequest = ComputeRequest()) -> str:
        """Start a run whose parameters are recorded, and return what the place calls it; at most one for each run."""

    def knows(self, run_id: str) -> bool:
        """Return whether a run was started there."""

    def outcome(self, runner: Runner, pipeline: Pipeline, run_id: str) -> RunOutcome:
        """Return where a run stands; a run that was not started there is a UserError."""

    def cancel(self, run_id: str) -> None:
        """Stop a run; what it has done stays. A run that was not started there is a UserError."""


TAIL = 20
"""How many lines of a log are shown."""


def checked(runner: Runner, pipeline: Pipeline, run_id: str, said: str) -> RunOutcome:
    """Believe a success when every step left its record and its output is what the record says.

    ``said`` is who calls it a success, such as "SageMaker says Succeeded".
    """
    try:
        for name in pipeline.steps:
            runner.output(pipeline, name, run_id)
    except UserError as error:
        return RunOutcome("failed", f"{said}, but {error}")
    return RunOutcome("succeeded")
