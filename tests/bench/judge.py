"""How often the judge of a release errs: false alarms of a model against itself, and what it finds of planted faults."""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.bootstrap import Platform
from pipelines.feature import FeatureParams
from pipelines.settings import Settings
from pipelines.training import TrainingParams
from tests.bench.benchmarks import Row
from tests.judging import Recorded, failed, record

PROBLEMS = {"probability": "tests.problems.late", "quantity": "tests.problems.minutes"}
HISTORY, NOW, END = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days) for days in (0, 55, 75))
CANARIES, PLANTED = 1000, 100
FAULTS = {
    "fails 2 % (1 % allowed)": {"errors": 0.02},
    "fails 4 %": {"errors": 0.04},
    "fails 8 %": {"errors": 0.08},
    "takes 2.5 times as long": {"latency": 2.5},
    "takes 4 times as long": {"latency": 4.0},
}
LOSSES = {
    "probability": {"0.05 too little": -0.05, "0.2 too little": -0.2},
    "quantity": {"5 minutes too little": -5.0, "15 minutes too little": -15.0},
}


def measure_judge() -> Iterator[Row]:
    """Yield the rate of false alarms, and of each planted fault how often and how soon it is found."""
    for task, problem in PROBLEMS.items():
        home = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            platform, given = _recorded(home, problem)
            yield from _rows(task, platform, given)
        finally:
            shutil.rmtree(home)


def _recorded(home: Path, problem: str) -> tuple[Platform, Recorded]:
    platform = Platform(Settings(home=home, problem=problem))
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    platform.run("training", TrainingParams(as_of=NOW, reason="bench"))
    return platform, record(platform, NOW, END)


def _rows(task: str, platform: Platform, given: Recorded) -> Iterator[Row]:
    looks = len(given.keys) // 100
    alarms = len(failed(platform, given, CANARIES))
    what = f"judge, {task}: itself, {CANARIES:,} x {looks} looks"
    allowed = 1 - platform.problem.config.canary_analysis.confidence
    yield Row(what, f"{alarms / CANARIES:.1%} failed", bar=f"<= {allowed:.0%}", met=alarms / CANARIES <= allowed)
    faults = {**FAULTS, **{name: {"offset": offset} for name, offset in LOSSES[task].items()}}
    for name, fault in faults.items():
        found = failed(platform, given, PLANTED, **fault)
        soon = f", half in {statistics.median(found):,.0f}" if found else ""
        yield Row(f"judge, {task}: {name}", f"{len(found) / PLANTED:.0%} found{soon}")
