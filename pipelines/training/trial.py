"""One trial of a search, as a tuning job runs it: settings come as texts, the score goes into the log.

``runs/<run id>/trials/`` holds the scores of the trials; the best of them is the outcome of the search, whatever the
tuning job reports.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import Options, Problem, Resumable, Scalar, Space, StrictModel, UserError
from pipelines.storage.ports import ObjectStore
from pipelines.training import Split
from pipelines.training.prepare import part
from pipelines.training.search import fitted_score, scorer, space_of
from pipelines.training.train import inputs, new_estimator
from pipelines.training.tuning_job import as_text

log = logging.getLogger(__name__)


class Trial(StrictModel):
    """Settings, and the estimator's score with them on the validation period; lower is better."""

    settings: dict[str, Scalar]
    score: float


def make_trial(
    problem: Problem, estimator: str, texts: Mapping[str, str], frame: pa.Table, split: Split, checkpoints: Path
) -> Trial:
    """Fit an estimator with the settings of a trial and score it; log each intermediate score."""
    settings = settings_of_trial(space_of(problem, estimator), texts)
    metric = problem.config.gates.champion_comparison.metric
    train, validation = (inputs(part(frame, split, name), problem) for name in ("train", "validation"))
    folder = checkpoints / _digest(settings)  # trials of one job share what SageMaker keeps

    def new() -> Any:
        made = new_estimator(problem, estimator, settings)
        if isinstance(made, Resumable):
            made.work_in(folder, None)
        return made

    def tell(value: float) -> None:
        log.info("%s=%.9g;", metric, value)

    score = fitted_score(new, train, scorer(problem, validation), lambda _step, value: tell(value))
    tell(score)
    shutil.rmtree(folder, ignore_errors=True)
    return Trial(settings=settings, score=score)


def settings_of_trial(space: Space, texts: Mapping[str, str]) -> dict[str, Scalar]:
    """Read the settings that may vary from the hyperparameters of a job, which are texts.

    Raises:
        UserError: when one is missing, or outside of the space.
    """
    found: dict[str, Scalar] = {}
    for name, allowed in space.items():
        if name not in texts:
            raise UserError(f"the trial's hyperparameters have no {name!r}")
        if isinstance(allowed, Options):
            known = {as_text(value): value for value in allowed.values}
            if texts[name] not in known:
                raise UserError(f"{name}={texts[name]}: the search allows {', '.join(known)}")
            found[name] = known[texts[name]]
        else:
            number = float(texts[name])
            if not allowed.low <= number <= allowed.high:
                raise UserError(f"{name}={texts[name]}: the search goes from {allowed.low} to {allowed.high}")
            found[name] = round(number) if allowed.whole else number
    return found


def keep_trial(objects: ObjectStore, run_id: str, trial: Trial) -> None:
    """Store a trial's score; the same settings again replace it."""
    objects.write(f"runs/{run_id}/trials/{_digest(trial.settings)}.json", trial.to_json())


def best_trial(objects: ObjectStore, run_id: str) -> Trial:
    """Return the best trial of a search.

    Raises:
        UserError: when none was finished.
    """
    kept = [objects.read(key) for key in objects.keys(f"runs/{run_id}/trials/")]
    trials = [Trial.from_json(data) for data in kept if data]
    if not trials:
        raise UserError(f"no trial of {run_id!r} was finished; allow more in [training.budget] and search again")
    return min(trials, key=lambda trial: trial.score)


def _digest(settings: Mapping[str, Scalar]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
