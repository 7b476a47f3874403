"""The benchmarks. Each yields rows: what was measured, what it is compared with, and the bar of the design."""

import dataclasses
import logging
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from monitoring.drift import describe, psi, shares
from pipelines.adapters.local.catalog import sqlite_catalog
from pipelines.adapters.local.online import SqliteOnline, select
from pipelines.bootstrap import Platform, pipeline
from pipelines.config import NUMERIC, AllAtOnce, FeatureView, Variant
from pipelines.demo.app import running_app
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.feature import FeatureParams
from pipelines.feature.engineer import effective_time
from pipelines.feature.point_in_time import join, last_effective
from pipelines.settings import Settings
from pipelines.storage.ports import OnlineRow
from pipelines.storage.tables import TIMESTAMP, Tables
from pipelines.training import TrainingParams
from tests.conftest import NOW, learn, make_platform, release

ROWS = 327_000
START = datetime(2013, 1, 1, tzinfo=UTC)
RANDOM = np.random.default_rng(0)


class Row(NamedTuple):
    """A line of the table. ``bar`` is what the design asks for, ``met`` whether it is so; '' where it asks nothing."""

    what: str
    measured: str
    baseline: str = ""
    ratio: str = ""
    bar: str = ""
    met: bool = False


def median(work: Callable[[], Any], runs: int = 5) -> float:
    """Return the median time of a few runs, in seconds, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure_join() -> Iterator[Row]:
    """The point-in-time join, 327,000 requests and three views of as many rows, against pandas' merge_asof."""
    requests, views = _requests(), [(view, _rows(view)) for view in _VIEWS]
    served = [(view, last_effective(view, rows)) for view, rows in views]
    ours = median(lambda: join(requests, "asked", views))
    small = median(lambda: join(requests, "asked", served))
    left = requests.to_pandas()
    right = [(view, rows.to_pandas().sort_values("effective_time")) for view, rows in served]

    def with_pandas() -> None:
        for view, rows in right:
            pd.merge_asof(left, rows, left_on="asked", right_on="effective_time", by=view.entity[0])

    theirs = median(with_pandas, 3)
    baseline = f"pandas merge_asof {theirs:.2f} s"
    what = f"point-in-time join, {ROWS:,} rows x 3 views"
    yield Row(f"{what} of every event", f"{ours:.2f} s", baseline, f"{ours / theirs:.2f}", "≤ 2 s", ours <= 2)
    yield Row(f"{what} as they are stored", f"{small:.2f} s", baseline, f"{small / theirs:.2f}", "≤ 2 s", small <= 2)


def measure_ingest() -> Iterator[Row]:
    """Writing rows of eight months to Iceberg, and a day once more, against one Parquet file."""
    rows = _requests()
    end = START + timedelta(days=243)
    with tempfile.TemporaryDirectory() as folder:

        def tables() -> Tables:
            home = tempfile.mkdtemp(dir=folder)
            return Tables(lambda: sqlite_catalog(Path(home)))

        theirs = median(lambda: pq.write_table(rows, f"{folder}/rows.parquet"))
        ours = median(lambda: tables().overwrite("raw.t", rows, "asked", START, end), 3)
        one = tables()
        one.overwrite("raw.t", rows, "asked", START, end)
        day = one.read("raw.t", time="asked", start=START, end=START + timedelta(days=1))
        again = median(lambda: one.overwrite("raw.t", day, "asked", START, START + timedelta(days=1)))
    baseline = f"one Parquet file {theirs:.2f} s"
    yield Row(f"ingest of {ROWS:,} rows into Iceberg", f"{ours:.2f} s", baseline, f"{ours / theirs:.1f}")
    yield Row("ingest of a day that is there already", f"{again * 1000:.0f} ms")


def measure_online() -> Iterator[Row]:
    """Reading the features of 50 requests from four views at once, against the bare query."""
    names = [f"entity {number}" for number in range(200)]
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteOnline(Path(folder) / "online.db")
        rows = {(f"view {v}", name): OnlineRow(START, (1.5, 2.5, 3.5)) for v in range(4) for name in names}
        store.write(rows, {})
        wanted = [(f"view {v}", names[n]) for v in range(4) for n in range(50)]
        ours = median(lambda: store.read(wanted), 200)
        one = median(lambda: store.read(wanted[::50]), 200)
        connection = sqlite3.connect(store.path)
        query = select(len(wanted))
        given = [part for pair in wanted for part in pair]
        theirs = median(lambda: connection.execute(query, given).fetchall(), 200)
    baseline = f"bare query {theirs * 1e6:.0f} µs"
    yield Row("online read, 50 entities of 4 views", f"{ours * 1e6:.0f} µs", baseline, f"{ours / theirs:.1f}")
    yield Row("online read, 1 entity of 4 views", f"{one * 1e6:.0f} µs")


def measure_drift() -> Iterator[Row]:
    """Drift of a million rows of twenty columns, against scipy's Kolmogorov-Smirnov test."""
    from scipy.stats import ks_2samp

    reference = RANDOM.normal(0, 1, (100_000, 20)).astype(np.float32)
    current = RANDOM.normal(0.1, 1, (1_000_000, 20)).astype(np.float32)
    described = [describe(reference[:, n], NUMERIC) for n in range(20)]
    ours = median(lambda: [psi(described[n], shares(current[:, n], described[n])) for n in range(20)], 3)
    theirs = median(lambda: ks_2samp(reference[:, 0], current[:, 0]), 1) * 20
    what, baseline = "drift of 1,000,000 rows x 20 columns", f"scipy ks_2samp {theirs:.1f} s"
    yield Row(what, f"{ours:.2f} s", baseline, f"{ours / theirs:.2f}", "≤ 3 s", ours <= 3)


def measure_pipelines() -> Iterator[Row]:
    """What the runner adds to the steps' own time, for the problem in ``model/`` over the history of its replay."""
    plan = Platform(Settings()).problem.config.replay
    if plan is None:
        yield Row("pipeline overhead", "the problem has no [replay] to measure with")
        return
    start, end = (datetime.combine(day, clock(), UTC) for day in (plan.history, plan.start))
    chosen = {
        "feature": FeatureParams(start=start, end=end),
        "training": TrainingParams(as_of=end, reason="bench"),
    }
    own: dict[str, list[float]] = {name: [] for name in chosen}
    added: dict[str, list[float]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        Platform(Settings(home=Path(folder) / "empty"), Path()).tracking.prepare()
        for attempt in range(3):
            home = shutil.copytree(Path(folder) / "empty", Path(folder) / str(attempt))
            platform = Platform(Settings(home=home), Path())
            for name, params in chosen.items():
                with _own_time(name) as steps:
                    began = time.perf_counter()
                    platform.run(name, params)
                    whole = time.perf_counter() - began
                own[name].append(sum(steps))
                added[name].append(whole / sum(steps))
    for name in chosen:
        ratio = statistics.median(added[name])
        told = f"{ratio - 1:.1%} of the steps' {statistics.median(own[name]):.1f} s"
        yield Row(f"overhead of the {name} pipeline", told, "the steps alone", f"{ratio:.3f}", "≤ 5 %", ratio <= 1.05)


def measure_cli() -> Iterator[Row]:
    """What it takes the command line to answer, against Python doing nothing."""
    nothing = median(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    for command in ("--help", "status"):
        argv = [sys.executable, "-m", "pipelines.entrypoints.cli", command]
        ours = median(lambda argv=argv: subprocess.run(argv, check=True, capture_output=True))  # type: ignore[misc]
        baseline = f"python -c '' {nothing:.2f} s"
        yield Row(f"mlops {command}", f"{ours:.2f} s", baseline, f"{ours / nothing:.0f}", "≤ 0.5 s", ours <= 0.5)


def measure_rollback() -> Iterator[Row]:
    """``mlops rollback`` as a command, on the tiny problem, and until the app that runs serves what it says."""
    with tempfile.TemporaryDirectory() as folder:
        platform = make_platform(Path(folder) / "home")
        release(platform, learn(platform))
        first = platform.releases.state().champion
        assert first, "it was released"
        model, version, _ = plant_failing_model(platform.models, first.model, "weight")
        environ = {**os.environ, **platform.settings.variables()}
        argv = [sys.executable, "-m", "pipelines.entrypoints.cli", "rollback", "--reason", "bench", "--yes"]
        commands, served = [], []
        with running_app(platform.settings, Path(folder) / "serving.log") as app:
            app.wait_until_up()
            for _ in range(6):
                app.wait_for(_release_again(platform, Variant(model=model, version=version)))
                began = time.perf_counter()
                subprocess.run(argv, check=True, capture_output=True, env=environ)
                commands.append(time.perf_counter() - began)
                app.wait_for(platform.releases.latest().number)  # type: ignore[union-attr]
                served.append(time.perf_counter() - began)
    command, until = (statistics.median(times[1:]) for times in (commands, served))  # the first does not count
    yield Row("mlops rollback", f"{command:.2f} s", bar="≤ 2 s", met=command <= 2)
    poll = platform.settings.poll_seconds
    told = f"{until:.2f} s, {until - command:.2f} s after the command"
    yield Row(
        "the same until the app serves it", told, f"its poll {poll:g} s", "", "a poll", until - command <= poll + 0.1
    )


def _release_again(platform: Platform, variant: Variant) -> int:
    """Release a model to all traffic, though it was rolled back, and return the transition."""
    actor = Actor("bench", NOW)
    file = propose_model(platform.models, platform.releases.state(), variant, AllAtOnce(), override="bench")
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    return start(platform.release_target, actor, file).number


BENCHMARKS: dict[str, Callable[[], Iterator[Row]]] = {
    "join": measure_join,
    "ingest": measure_ingest,
    "online": measure_online,
    "drift": measure_drift,
    "pipelines": measure_pipelines,
    "cli": measure_cli,
    "rollback": measure_rollback,
}


@contextmanager
def _own_time(name: str) -> Iterator[list[float]]:
    """Collect the time that each step's function takes by itself."""
    chosen, own = pipeline(name), []
    steps = dict(chosen.steps)

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(**arguments)
            finally:
                own.append(time.perf_counter() - began)

        call.__name__, call.__signature__ = function.__name__, __import__("inspect").signature(function)  # type: ignore[attr-defined]
        return call

    for key, step in steps.items():
        chosen.steps[key] = dataclasses.replace(step, function=timed(step.function))
    try:
        yield own
    finally:
        chosen.steps.update(steps)


def _view(name: str, entity: str) -> FeatureView:
    return FeatureView(
        name=name,
        description="",
        entity=(entity,),
        table="events",
        features={f"{name}_{n}": NUMERIC for n in range(3)},
        every=timedelta(hours=1),
        ttl=timedelta(days=1),
        sql="SELECT 1",
    )


_VIEWS = (_view("by_origin", "origin"), _view("by_carrier", "carrier"), _view("by_destination", "destination"))
_ENTITIES = {"origin": 3, "carrier": 16, "destination": 105}


def _times() -> pa.Array:
    seconds = np.sort(RANDOM.integers(0, 243 * 86_400, ROWS))
    return pa.array((np.datetime64("2013-01-01") + seconds.astype("timedelta64[s]")).astype("datetime64[us]")).cast(
        TIMESTAMP
    )


def _names(entity: str) -> pa.Array:
    names = np.array([f"{entity} {number}" for number in range(_ENTITIES[entity])])
    return pa.array(names[RANDOM.integers(0, len(names), ROWS)])


def _requests() -> pa.Table:
    return pa.table({"asked": _times(), **{entity: _names(entity) for entity in _ENTITIES}})


def _rows(view: FeatureView) -> pa.Table:
    rows = pa.table(
        {
            view.entity[0]: _names(view.entity[0]),
            "event_time": _times(),
            **{name: pa.array(RANDOM.normal(0, 1, ROWS).astype(np.float32)) for name in view.features},
        }
    )
    return rows.append_column("effective_time", effective_time(view, rows["event_time"]))


logging.getLogger("mlflow").setLevel(logging.ERROR)
