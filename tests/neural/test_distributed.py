import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra torch is not installed; make test-torch runs these")

from pipelines.training import TrainingParams
from tests.conftest import NOW, learn
from tests.neural.test_checkpoint import kill_at, start
from tests.neural.test_loop import trained

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
pytestmark = pytest.mark.slow


def test_two_processes_compute_the_losses_of_one_on_the_same_batches(tmp_path):
    given = {"dropout": 0.0, "accumulate": 2}
    with start(tmp_path, 0, TORCHRUN, **given) as process:
        process.communicate()
    assert process.returncode == 0
    together = json.loads((tmp_path / "history.json").read_text())
    alone = trained(**given)[0]
    np.testing.assert_allclose(together["losses"], alone.losses, rtol=1e-4)
    np.testing.assert_allclose(together["holdout"], alone.holdout, rtol=1e-4)


def test_two_processes_resume_from_a_checkpoint_with_the_dropout_of_each(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    with start(whole, 0, TORCHRUN) as process:
        process.communicate()
    kill_at(start(cut, 0.05, TORCHRUN), 8, signal.SIGTERM)
    assert (cut / "checkpoint.pt").exists()
    assert not (cut / "history.json").exists()
    with start(cut, 0, TORCHRUN) as process:
        steps = process.communicate()[0].split()
    assert max(map(int, steps)) <= 24 - 5
    losses = [json.loads((folder / "history.json").read_text())["losses"] for folder in (whole, cut)]
    assert losses[0] == losses[1]


def test_the_step_of_a_run_in_two_processes_gives_one_candidate(new_platform):
    platform = new_platform()
    learn(platform)
    given = {"network": {"epochs": 2, "width": 16, "blocks": 1, "bins": 4, "batch_rows": 256}}
    params = TrainingParams(as_of=NOW, reason="test", estimators=("network",), settings=given)
    from pipelines.bootstrap import pipeline

    training = pipeline("training")
    platform.runner.start(training, params, "together")
    platform.runner.run(training, "together", before="train")
    mlops = [
        sys.executable,
        "-m",
        "pipelines.entrypoints.cli",
        "step",
        "training/train",
        "--run-id",
        "together",
        "--processes",
        "2",
    ]
    environ = {**os.environ, **platform.settings.variables()}
    told = subprocess.run(mlops, check=False, env=environ, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("training/train") == 1
    log = platform.runner.record("together", "train").log
    assert sum("fitted estimator=network" in line for line in log) == 1
    candidate = platform.runner.run(training, "together")
    gates = {gate.gate: gate.passed for gate in platform.models.manifest(candidate.model).gates}
    assert gates["onnx_parity"]
