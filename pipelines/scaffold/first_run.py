"""Runs a new problem once, in a process and a home of its own: ingest, features, one fit, one round of the gates."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import NamedTuple

from pipelines.bootstrap import Platform, pipeline
from pipelines.config import UserError
from pipelines.feature import FeatureParams
from pipelines.settings import PREFIX, Settings
from pipelines.training import TrainingParams

_SAID = 12  # lines of a failure that are shown


class FirstRun(NamedTuple):
    """What a run of a problem said: rows by table and by period, the estimator and its metrics, and each gate."""

    rows: dict[str, int]
    parts: dict[str, int]
    estimator: str
    metrics: dict[str, float]
    gates: list[tuple[str, bool, str]]


def try_out(folder: Path, start: date, end: date) -> FirstRun:
    """Run the problem in a folder on the days of ``[start, end)``, and keep nothing.

    Raises:
        UserError: with the end of what it said, when a step fails.
    """
    with tempfile.TemporaryDirectory() as made:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        paths = [str(folder.resolve().parent), str(Path.cwd()), kept.get("PYTHONPATH", "")]
        given = {"HOME": f"{made}/home", "RELEASES": f"{made}/releases", "PROBLEM": folder.resolve().name}
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.scaffold.first_run", start.isoformat(), end.isoformat()],
            env=kept
            | {f"{PREFIX}{name}": value for name, value in given.items()}
            | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-_SAID:])
        raise UserError(f"{folder} is written, but does not run on the sample:\n{said}")
    found = json.loads(done.stdout.splitlines()[-1])
    return FirstRun(**found | {"gates": [tuple(gate) for gate in found["gates"]]})


def run(platform: Platform, start: datetime, end: datetime) -> FirstRun:
    """Run both pipelines on a platform, up to the registration of a candidate."""
    feature, training = pipeline("feature"), pipeline("training")
    platform.runner.run(feature, platform.runner.start(feature, FeatureParams(start=start, end=end), "trial-feature"))
    run_id = platform.runner.start(training, TrainingParams(as_of=end, reason="a trial"), "trial-training")
    platform.runner.run(training, run_id, before="register")
    rows, split, trained, evaluated, results = (
        platform.runner.output(chosen, step, f"trial-{chosen.name}")
        for chosen, step in (
            (feature, "validate"),
            (training, "prepare"),
            (training, "train"),
            (training, "evaluate"),
            (training, "run_gates"),
        )
    )
    return FirstRun(
        rows=rows.rows,
        parts=split.rows,
        estimator=trained.choice.estimator,
        metrics=evaluated.metrics.candidate_metrics,
        gates=[(gate.gate, gate.passed, gate.reason) for gate in results.gates],
    )


def _main(start: str, end: str) -> None:
    logging.disable(logging.INFO)
    days = (datetime.combine(date.fromisoformat(day), time(), UTC) for day in (start, end))
    try:
        sys.stdout.write(json.dumps(run(Platform(Settings.read()), *days)._asdict()) + "\n")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
