"""Runs a pipeline, or a tick, in forked processes that are killed with SIGKILL at their n-th write to the object store.

A process of its own, because its children must not inherit threads: it imports what they need and runs nothing itself.
Prints one line of JSON for each kill point: what a run that was killed there, and then resumed, ended with.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.adapters.local.objects import FileObjects
from pipelines.bootstrap import Platform
from pipelines.config import AllAtOnce, CanaryStrategy, ReleaseEntry, ReleaseFile, ReleaseState, StrictModel, Variant
from pipelines.continuous_training import ContinuousTrainingParams
from pipelines.contracts import keys
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.feature import FeatureParams
from pipelines.monitor import Trigger
from pipelines.orchestration.catalog import PIPELINES
from pipelines.storage.prediction_log import LogWriter, Predictions
from pipelines.training import TrainingParams
from tests.conftest import HISTORY, NOW, make_platform
from tests.problems import parcels

BAKE = timedelta(days=1)


class KillingObjects(FileObjects):
    """A store that takes the process with it after its n-th write; ``halfway`` also before one has its name."""

    def __init__(self, root: Path, after: int, halfway: bool) -> None:
        super().__init__(root)
        self.left, self.halfway = after, halfway

    def write(self, key: str, data: bytes) -> None:
        super().write(key, data)
        self._count()

    def create(self, key: str, data: bytes) -> bool:
        created = super().create(key, data)
        self._count()
        return created

    def _temporary(self, key: str, data: bytes) -> Path:
        written = super()._temporary(key, data)
        if self.halfway:
            self._count()
        return written

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def params(name: str, platform: Platform) -> StrictModel:
    if name == "feature":
        return FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=3))
    if name == "continuous_training":
        return ContinuousTrainingParams(as_of=NOW)
    return DeploymentParams(release=release(platform), as_of=NOW, who="test")


def release(platform: Platform) -> ReleaseFile:
    digest, version = platform.models.resolve("1")
    return propose_model(platform.models, ReleaseState(), Variant(model=digest, version=version), AllAtOnce())


def act(name: str, platform: Platform) -> None:
    """What is killed, and what is done again after it."""
    if name.startswith("tick"):
        tick(
            platform.problem,
            platform.tables,
            platform.predictions,
            platform.release_target,
            Actor("canary analysis", NOW + BAKE),
        )
    else:
        platform.run(name, params(name, make_platform(platform.home)), "run")


def canary(platform: Platform, fails: bool) -> None:
    """Release the first model, and a second beside it that was asked as often, and failed or not."""
    first, log, models = release(platform), platform.releases, platform.models
    manifest = models.manifest(first.champion.model).model_copy(update={"reason": "the same again"})
    model, version = models.put(manifest, {file: models.file(first.champion.model, file) for file in manifest.files})
    for _ in ("first", "second"):
        propose(platform.release_target, Actor("test", NOW), first)
        approve(platform.release_target, Actor("test", NOW), first)
        entry = start(platform.release_target, Actor("test", NOW), first)
        if entry.state.live:
            break
        strategy = CanaryStrategy(steps=(0.2, 0.5), bake=BAKE)
        first = propose_model(models, log.state(), Variant(model=model, version=version), strategy, override="a test")
    writer = LogWriter(platform.objects, "dev", 60, 10_000)
    writer.append(answers(entry, fails))
    writer.close()


def answers(entry: ReleaseEntry, fails: bool) -> Predictions:
    """What both variants said to the requests of a day."""
    rows = parcels.read("parcels", NOW, NOW + BAKE)
    count = rows.num_rows
    sides = ["champion", "challenger"] * (count // 2) + ["champion"] * (count % 2)
    assert entry.state.champion
    return Predictions(
        prediction_id=[f"{number:032x}" for number in range(count)],
        event_time=rows["asked_at"].to_numpy(),
        answered_at=rows["asked_at"].to_numpy(),
        key=rows["parcel_id"].to_pylist(),
        unit=rows["parcel_id"].to_pylist(),
        release=[entry.number] * count,
        routed=list(sides),
        variant=list(sides),
        model=[entry.state.champion.model] * count,
        version=[1] * count,
        prediction=np.full(count, 0.5, np.float32),
        latency_ms=[1.0] * count,
        error=["it failed" if fails and side == "challenger" else None for side in sides],
        features={},
        mirror_prediction=[None] * count,
        mirror_latency_ms=[None] * count,
        mirror_error=[None] * count,
    )


def prepare(name: str, platform: Platform) -> None:
    """What has to be there before what is under test."""
    if name == "feature":
        return
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "history")
    if name == "continuous_training":
        platform.events.send(Trigger(kind="alarm", reason="test", at=NOW).to_json())
    if name == "deployment" or name.startswith("tick"):
        platform.run("training", TrainingParams(as_of=NOW, reason="test"), "first")
    if name.startswith("tick"):
        platform.run("feature", FeatureParams(start=NOW, end=NOW + BAKE), "labels")
        canary(platform, fails=name == "tick, which fails")
    if name == "deployment":
        propose(platform.release_target, Actor("test", NOW), release(platform))
        approve(platform.release_target, Actor("test", NOW), release(platform))


def ended_with(platform: Platform) -> dict[str, Any]:
    """What must be the same whether or not the run was killed: nothing lost, nothing twice."""
    tables = ["raw.parcels", "raw.scans", "raw.deliveries"]
    tables += [f"features.{view.versioned_name}" for view in platform.problem.views]
    snapshots = {table: len(platform.tables._table(table).snapshots()) for table in tables}
    versions = platform.models.versions()
    manifests = [platform.models.manifest(digest) for digest in versions.values()]
    client = platform.tracking._client
    return {
        "rows": {table: platform.tables.read(table).num_rows for table in tables},
        "snapshots": snapshots,
        "online": [str(platform.online.as_of(view.versioned_name)) for view in platform.problem.views],
        "versions": sorted(versions),
        "files": [manifest.files for manifest in manifests],
        "metrics": [manifest.metrics["test"] for manifest in manifests],
        "gates": [[gate.passed for gate in manifest.gates] for manifest in manifests],
        "mlflow runs": len(client.search_runs(["1"]))
        if client.search_experiments(filter_string="name = 'parcel-late'")
        else 0,
        "mlflow versions": len(client.search_model_versions()),
        "events": len(platform.events.receive()),
        "decisions": len(platform.objects.keys(keys.decisions("dev"))),
        "transitions": [entry.action for entry in platform.releases.entries()],
    }


def in_child(work: Callable[[], None]) -> int:
    """Run work in a forked process and return how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main(name: str, folder: Path, database: Path, step: int) -> None:
    """Kill and resume at every ``step``-th point; each starts from the same home at the same path, as tables know."""
    home, template = folder / "home", folder / "template"
    shutil.copytree(database, home / "mlflow")
    import_everything(home)
    assert in_child(lambda: prepare(name, make_platform(home))) == 0
    home.rename(template)

    def run(point: int) -> None:
        platform = make_platform(home)
        if point:
            halfway = name == "deployment" or name.startswith("tick")
            platform.__dict__["objects"] = KillingObjects(home / "store", point, halfway)
        act(name, platform)

    def resume() -> None:
        platform = make_platform(home)
        act(name, platform)
        (folder / "result.json").write_text(json.dumps(ended_with(platform)))

    for point in count(step=step):
        shutil.copytree(template, home)
        code = in_child(partial(run, point))
        assert code in (0, -signal.SIGKILL), f"kill point {point}: {code}"
        assert in_child(resume) == 0, f"the run that was killed at point {point} cannot be resumed"
        result = json.loads((folder / "result.json").read_text())
        sys.stdout.write(json.dumps({"point": point, "killed": code != 0, "result": result}) + "\n")
        shutil.rmtree(home)
        if point and code == 0:
            return  # there is no such write any more


def import_everything(home: Path) -> None:
    """Import what the children need, so that each starts at once; importing starts no thread."""
    for module in (*PIPELINES.values(), "mlflow.tracking", "skl2onnx", "pyiceberg.catalog.sql", "pyiceberg.io.pyarrow"):
        importlib.import_module(module)
    problem = make_platform(home).problem
    _ = problem.estimators, problem.views, parcels._tables()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
