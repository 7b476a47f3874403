import json
import os
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the extra torch is not installed; make test-torch runs these")

from pipelines.neural.checkpoint import Checkpoints
from pipelines.settings import Node
from pipelines.training.torchrun import meeting
from tests.neural.test_loop import trained

EVERY = 5


def start(folder, pause=0.03, launcher=(), **settings):
    given = json.dumps({"checkpoint_steps": EVERY, **settings})
    module = ["-m", "tests.neural.child", str(folder), str(pause), given]
    environ = {**meeting(Node(1, 0, "localhost")), **os.environ}
    return subprocess.Popen([sys.executable, *launcher, *module], stdout=subprocess.PIPE, text=True, env=environ)


def kill_at(process, step, number):
    """Send a signal when the process tells that it made a step; return its exit code."""
    with process:
        for line in process.stdout:
            if int(line) == step:
                process.send_signal(number)
                break
        process.communicate()
    return process.returncode


def finish(folder, **settings):
    """Let a process train to the end, and return how many steps it made and what it recorded."""
    with start(folder, pause=0, **settings) as process:
        steps = len(process.communicate()[0].split())
    assert process.returncode == 0
    return steps, json.loads((folder / "history.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    steps, history = finish(tmp_path_factory.mktemp("whole"))
    assert steps == len(history["losses"]) == 24  # two passes of twelve batches
    return history


@pytest.mark.parametrize("step", [8, 19])
def test_a_killed_training_loses_an_interval_and_ends_the_same(tmp_path, uninterrupted, step):
    assert kill_at(start(tmp_path), step, signal.SIGKILL) == -signal.SIGKILL
    made, history = finish(tmp_path)
    assert 24 - step <= made <= 24 - step + EVERY
    assert history["losses"] == uninterrupted["losses"]
    assert history["holdout"] == uninterrupted["holdout"]


def test_sigterm_loses_nothing(tmp_path, uninterrupted):
    assert kill_at(start(tmp_path), 8, signal.SIGTERM) == 143
    made, history = finish(tmp_path)
    assert made in (24 - 8, 24 - 9)  # the signal may find the next step under way
    assert history["losses"] == uninterrupted["losses"]


def test_a_checkpoint_of_another_training_is_left_aside(tmp_path):
    checkpoints = Checkpoints(tmp_path, "this")
    checkpoints.save({"step": 1})
    checkpoints.wait()
    assert Checkpoints(tmp_path, "this").load() == {"step": 1}
    assert Checkpoints(tmp_path, "other").load() is None


def test_a_state_is_copied_when_it_is_saved(tmp_path):
    weight, checkpoints = torch.ones(3), Checkpoints(tmp_path, "")
    checkpoints.save({"network": {"weight": weight}})
    weight.zero_()
    checkpoints.wait()
    assert checkpoints.load()["network"]["weight"].tolist() == [1, 1, 1]


def test_a_write_that_was_cut_off_leaves_the_last_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, "")
    checkpoints.save({"step": 1})
    checkpoints.wait()
    (tmp_path / "checkpoint.partial").write_bytes(b"half of")
    assert checkpoints.load() == {"step": 1}


def test_a_disk_that_does_not_take_a_checkpoint_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        trained(Checkpoints(tmp_path / "file" / "folder", ""), checkpoint_steps=2)
