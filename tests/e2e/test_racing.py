"""One move, made by fifty processes at once: one of them wins."""

import hashlib
import json
import subprocess
import sys
from datetime import timedelta

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.signer import FileSigner
from pipelines.config import AllAtOnce, CanaryStrategy, Variant
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.registry.model_store import ONNX, ModelStore
from pipelines.registry.release_log import ReleaseLog
from tests.conftest import NOW, ROOT, unmeasured
from tests.e2e.racing import PROCESSES
from tests.releasing import target

ME = Actor("me", NOW)


@pytest.fixture
def log(tmp_path):
    return ReleaseLog(FileObjects(tmp_path / "log"), FileSigner(tmp_path / "keys"), "dev")


def release(log, models, manifest, number, strategy, until):
    """Make a model of this number and release it up to a move."""
    data = str(number).encode()
    changed = {"files": {ONNX: hashlib.sha256(data).hexdigest()}}
    model, version = models.put(manifest.model_copy(update=changed), {ONNX: data})
    file = propose_model(models, log.state(), Variant(model=model, version=version), strategy, override="a test")
    propose(target(log, models), ME, file)
    if until == "start":
        approve(target(log, models), ME, file)
        start(target(log, models), ME, file)


@pytest.mark.parametrize(
    ("move", "actions"),
    [
        ("approve", ["propose", "approve"]),
        ("roll back", ["propose", "approve", "promote", "propose", "approve", "start", "roll back"]),
    ],
)
def test_of_fifty_processes_at_once_one_wins(log, manifest, tmp_path, move, actions):
    models = ModelStore(FileObjects(tmp_path / "models"))
    if move == "approve":
        release(log, models, manifest, 1, AllAtOnce(), "propose")
    else:
        release(log, models, manifest, 1, AllAtOnce(), "start")
        release(log, models, manifest, 2, CanaryStrategy(steps=(0.2,), bake=timedelta(days=1)), "start")
    command = [sys.executable, "-m", "tests.e2e.racing", str(tmp_path), move]
    done = subprocess.run(command, cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == {"won": 1, "lost": PROCESSES - 1}, done.stderr
    assert [entry.action for entry in log.entries()] == actions
    assert [path.name for path in (tmp_path / "log").rglob(".tmp-*")] == [".tmp-reserve"], "nothing is left lying"
