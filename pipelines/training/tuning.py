"""The search pipeline, for a platform that runs the trials: pin → extract → prepare → tune.

``tune`` starts a tuning job and does not wait. Each of its jobs runs a trial (:mod:`pipelines.training.trial`). When
the tuning job ends, an event starts the training pipeline with the best settings, and the gates judge the candidate.
"""

from typing import Protocol

from pydantic import Field

from pipelines.config import Problem, ProblemConfig, StrictModel, UserError
from pipelines.orchestration.pipeline import Pipeline, RunInfo
from pipelines.training import TrainingParams
from pipelines.training.extract import extract, pin
from pipelines.training.prepare import prepare


class Tuner(Protocol):
    """Runs the trials of a search on a platform."""

    def start(self, run_id: str, config: ProblemConfig, estimator: str, workers: int) -> str:
        """Start the trials of a search, at most once for each run, and return the job's name."""

    def run_of(self, name: str) -> str:
        """Return the run that started a job; a job that no run started is a UserError."""


class SearchParams(TrainingParams):
    """The cut-off of a search, its estimator (the only one of ``estimators``), and how many trials run at once."""

    workers: int = Field(default=1, ge=1)


class Search(StrictModel):
    """A search that is under way."""

    estimator: str
    job: str


def tune(params: SearchParams, run: RunInfo, problem: Problem, tuner: Tuner | None) -> Search:
    """Start the tuning job.

    Raises:
        UserError: when there is not one estimator to search for, the problem states no search for it, or the profile
            has no tuning jobs.
    """
    if len(params.estimators) != 1:
        raise UserError("a search is for one estimator, such as --set estimators='[\"gradient_boosting\"]'")
    (estimator,) = params.estimators
    if tuner is None:
        raise UserError(f"on this machine 'mlops sweep {estimator}' searches; pass --on aws to start a tuning job")
    return Search(estimator=estimator, job=tuner.start(run.run_id, problem.config, estimator, params.workers))


PIPELINE = Pipeline("search", SearchParams, pinned=pin, frame=extract, split=prepare, searched=tune)
