"""Requests a second of the serving app, against bare ONNX Runtime behind the same server, and against MLflow's.

All three serve the same model on this machine in one run, asked by wrk in turns, so that what else the machine does
meets them alike. Ours takes requests and looks features up in the online store; the others are given the features.
"""

import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
import numpy as np
import urllib3
from matplotlib.figure import Figure

from monitoring.plots import BLUE, GREY, MUTED, STYLE
from pipelines.bootstrap import Platform
from pipelines.config import AllAtOnce, FeatureType, Manifest, Variant
from pipelines.demo.app import free_port, running_app
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose
from pipelines.feature import FeatureParams
from pipelines.feature.decode import RequestDecoder
from pipelines.feature.online import OnlineFeatures
from pipelines.feature.request import without_nan
from pipelines.reporting.export import export
from pipelines.settings import Settings
from pipelines.training import Candidate, TrainingParams
from tests.bench.benchmarks import Row

ROUNDS, SECONDS, CONNECTIONS, BODIES = 3, 3, (1, 8), 200
OURS, BARE, MLFLOW = "mlops serve", "bare ONNX Runtime", "mlflow models serve"


class Measured(NamedTuple):
    """What wrk saw: requests a second, latencies in milliseconds, and how many requests failed."""

    rate: float
    p50: float
    p99: float
    failed: int


class Server(NamedTuple):
    """Where a server answers, and the bodies to send it."""

    url: str
    bodies: list[bytes]


def measure_serving(plot: Path | None = None) -> Iterator[Row]:
    """The serving app's time per request, over eight connections to one worker, against the two others."""
    plan = Platform(Settings()).problem.config.replay
    if plan is None or shutil.which("wrk") is None:
        yield Row("serving", "the problem has no [replay]" if plan is None else "wrk is not on the PATH: not measured")
        return
    found = measure(*(datetime.combine(day, clock(), UTC) for day in (plan.history, plan.start)))
    if plot:
        _plot(found, plot)
    for name, by_connections in found.items():
        for connections, measured in by_connections.items():
            bare = found[BARE][connections].rate / measured.rate
            told = f"{measured.rate:,.0f} requests/s, p50 {measured.p50:.2f} ms, p99 {measured.p99:.1f} ms"
            told += f", {measured.failed} failed" if measured.failed else ""
            bar = ("≤ 1.3", bare <= 1.3) if name == OURS and connections > 1 else ()
            yield Row(f"{name}, {connections} at a time", told, f"{BARE} = 1", f"{bare:.2f}", *bar)
    ratio = found[OURS][CONNECTIONS[-1]].rate / found[MLFLOW][CONNECTIONS[-1]].rate
    yield Row(f"requests/s of {OURS}", "", f"{MLFLOW} = 1", f"{ratio:.2f}")


def measure(start: datetime, now: datetime) -> dict[str, dict[int, Measured]]:
    """Train on ``[start, now)``, serve the model three ways, and return what wrk saw by server and connections."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder)
        platform = Platform(Settings(home=home, releases=home / "releases"), Path())
        digest = _released(platform, start, now)
        manifest = platform.models.manifest(digest)
        export(platform.models, Variant(model=digest, version=1), home / "model")
        rows, features = _requests(platform, now)
        app = running.enter_context(running_app(platform.settings, home / "serving.log"))
        app.wait_until_up()
        bare, mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        command = [sys.executable, "-m", "tests.bench.bare", str(home / "model"), bare.rpartition(":")[2]]
        running.enter_context(_process(command, home / "bare.log"))
        running.enter_context(_process(_mlflow(home, manifest, mlflow.rpartition(":")[2]), home / "mlflow.log"))
        tensors = [{"inputs": {name: [[value]] for name, value in row.items()}} for row in features]
        servers = {
            BARE: Server(bare, [msgspec.json.encode(row) for row in features]),
            OURS: Server(app.url, [msgspec.json.encode(row) for row in rows]),
            MLFLOW: Server(mlflow, [json.dumps(row).replace("null", "NaN").encode() for row in tensors]),
        }
        for server in servers.values():
            _await(server)
        return _in_turns(servers, home)


def _plot(found: Mapping[str, Mapping[int, Measured]], path: Path) -> None:
    """Draw requests a second and the median latency of each server."""
    names = list(found)[::-1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.4), layout="constrained")
        for axes, connections, field, told in zip(
            figure.subplots(1, 2, sharey=True),
            CONNECTIONS[::-1],
            ("rate", "p50"),
            ("requests a second, 8 at a time: more is better", "median latency in ms, 1 at a time: less is better"),
            strict=True,
        ):
            values = [getattr(found[name][connections], field) for name in names]
            bars = axes.barh(names, values, 0.6, color=[BLUE if name == OURS else GREY for name in names])
            axes.bar_label(bars, [f"{value:,.0f}" if value > 20 else f"{value:.2f}" for value in values], padding=4)
            axes.set_title(told, loc="left", fontsize=10, color=MUTED)
            axes.margins(x=0.15)
            axes.grid(visible=False)
            axes.set_xticks([])
        figure.savefig(path, dpi=160, facecolor="white")


def _in_turns(servers: Mapping[str, Server], folder: Path) -> dict[str, dict[int, Measured]]:
    found: dict[str, dict[int, list[Measured]]] = {name: {count: [] for count in CONNECTIONS} for name in servers}
    for server in servers.values():
        wrk(server, CONNECTIONS[-1], 1, folder)
    for _ in range(ROUNDS):
        for connections in CONNECTIONS:
            for name, server in servers.items():
                found[name][connections].append(wrk(server, connections, SECONDS, folder))
    return {name: {count: _median(runs) for count, runs in by.items()} for name, by in found.items()}


def wrk(server: Server, connections: int, seconds: int, folder: Path) -> Measured:
    """Ask a server for some seconds."""
    bodies = folder / "bodies"
    bodies.write_bytes(b"\n".join(server.bodies) + b"\n")
    script = Path(__file__).with_name("requests.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"{server.url}/invocations"]
    environ = {**os.environ, "BODIES": str(bodies)}
    told = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    line = next(line for line in told.splitlines() if line.startswith("RESULT"))
    requests, micros, p50, p99, failed = map(int, line.split()[1:])
    return Measured(requests / micros * 1e6, p50 / 1000, p99 / 1000, failed)


def _median(runs: list[Measured]) -> Measured:
    rate, p50, p99 = (statistics.median(values) for values in list(zip(*runs, strict=True))[:3])
    return Measured(rate, p50, p99, sum(run.failed for run in runs))


def _released(platform: Platform, start: datetime, now: datetime) -> str:
    platform.run("feature", FeatureParams(start=start, end=now))
    candidate: Candidate = platform.run("training", TrainingParams(as_of=now, reason="bench"))
    assert candidate.model and candidate.version, "the first candidate is registered"
    released = Variant(model=candidate.model, version=candidate.version)
    file = propose_model(platform.models, platform.releases.state(), released, AllAtOnce(), override="a measurement")
    actor = Actor("bench", now)
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    platform.run("deployment", DeploymentParams(release=file, as_of=now, who=actor.who))
    return candidate.model


def _requests(platform: Platform, now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the first requests after ``now``, without their personal fields, and the features of each."""
    problem, config = platform.problem, platform.problem.config
    table = problem.read(config.request.table, now, now + timedelta(days=1)).slice(0, BODIES)
    rows = table.select([name for name, column in config.request_columns.items() if not column.personal]).to_pylist()
    decode = RequestDecoder(config.request_columns)
    lookup = OnlineFeatures(problem, platform.online)
    features = []
    for row in rows:
        found = lookup(decode(msgspec.json.encode(row))[0]).features
        features.append(dict(zip(found, without_nan(values.tolist()[0] for values in found.values()), strict=True)))
    return rows, features


def _mlflow(home: Path, manifest: Manifest, port: str) -> list[str]:
    """Save the model as MLflow's own flavour, and return the command that serves it."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import sets a level of its own
    types = {FeatureType.NUMERIC: np.dtype(np.float32), FeatureType.CATEGORICAL: np.dtype(str)}
    inputs = json.loads((home / "model" / "schema.json").read_text())["inputs"]
    specs = [TensorSpec(types[manifest.features[given["name"]]], (-1, 1), given["name"]) for given in inputs]
    model = onnx.load(home / "model" / "model.onnx")
    mlflow.onnx.save_model(model, home / "mlflow-model", signature=ModelSignature(Schema(specs)))
    program = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(home / "mlflow-model")]
    return [*program, "--env-manager", "local", "--port", port]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # MLflow calls uvicorn
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environ, stdout=file, stderr=file, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, 15)  # with its workers
            process.wait(timeout=30)


def _await(server: Server) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            reply = urllib3.request(
                "POST",
                f"{server.url}/invocations",
                body=server.bodies[0],
                headers={"Content-Type": "application/json"},
                retries=False,
            )
            assert reply.status == 200, reply.data
            return
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline, f"{server.url} does not answer"
            time.sleep(0.1)
