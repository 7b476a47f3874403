"""One table of exit codes, kept by every command: 0 done, 1 error, 2 wrong usage, 3 the answer is no, 130 Ctrl-C."""

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Mlops
from tests.unit.entrypoints.test_cli import COMMANDS, examples

RUN_ON = {("serve",), ("watch",), ("demo",)}  # until they are stopped
ENDED = {  # the last example of each command, where nothing was done yet; all others want what is not there: 1
    "data pull": 0,
    "release tick": 0,
    "release schema": 0,
    "status": 0,
    "token": 0,
    "features": 0,
    "releases": 0,
    "delivery": 0,
    "render": 0,
    "recover": 0,
    "monitor": 0,
    "data migrate": 0,
    "backup": 0,  # of the catalog without tables, which the one before made
    "workflow publish": 0,
    "data diff": 2,  # there is no such table
    "data quarantine": 2,
    "data readmit": 2,
    "sweep": 2,  # there is no such estimator
    "problem profile": 2,  # nor such a file
    "problem new": 2,
    "github comment": 2,
    "github issue": 2,
    "doctor": 3,  # much is left to do
    "problem check": 3,  # the source has no rows of that day
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """How the last example of each command ended on an empty home, and what it said."""
    place = tmp_path_factory.mktemp("place")
    for path in ROOT.iterdir():  # a checkout into which commands may write
        if not path.name.startswith(".") and path.name != "model":
            (place / path.name).symlink_to(path)
    paths = [path for path in COMMANDS if path not in RUN_ON]
    lines = [shlex.split(re.sub(r" > [a-z.]+$", "", examples(COMMANDS[path])[-1]))[1:] for path in paths]
    command = [sys.executable, "-m", "tests.e2e.commands"]
    environ = {**Mlops(place / "home").environ, "AWS_EC2_METADATA_DISABLED": "true"}
    for name in ("GITHUB_TOKEN", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        environ.pop(name, None)
    done = subprocess.run(
        command, cwd=place, env=environ, input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(paths, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in RUN_ON], ids=" ".join)
def test_a_command_on_an_empty_home_ends_with_a_code_of_the_table(ended, path):
    code, said = ended[path]
    assert code == ENDED.get(" ".join(path), 1), said
    assert "Traceback" not in said
    assert bool(said.strip()) == (code in (1, 2)), "an error is told on standard error, an answer is not"


@pytest.fixture
def heard():
    """Have processes hear Ctrl-C, which what a shell starts in the background inherits as ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_a_run_with_130_and_says_how_to_resume_it(mlops):
    for attempt in range(5):  # on a busy machine a run may end before it is interrupted
        run_id = f"days{attempt}"
        process = mlops.start(
            "run", "feature", "--set", "start=2024-01-01", "--set", "end=2024-02-25", "--run-id", run_id
        )
        while process.poll() is None and not (mlops.home / f"store/runs/{run_id}/extract/record.json").exists():
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        if process.returncode:
            break
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert f"interrupted; resume it: mlops run feature --run-id {run_id}" in said
    done = mlops("run", "feature", "--run-id", run_id)
    assert (done.code, "resumed, done already" in done.out) == (0, True), done.err


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
def test_ctrl_c_leaves_no_worker_of_a_search_behind(mlops):
    assert mlops("run", "feature", "--set", "start=2024-01-01", "--set", "end=2024-02-25").code == 0
    sweep = ("sweep", "boosting", "--workers", "2", "--as-of", "2024-02-25", "--run-id", "found")
    process = mlops.start(*sweep, in_group=True)
    while not has_trials(mlops.home / "sweeps/found/study.db"):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert "interrupted; resume it: mlops sweep boosting --run-id found" in said
    wait_until_gone(workers)


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_the_demo_and_its_processes_at_once(mlops, tmp_path):
    process = mlops.start("demo", "--fast", "--folder", str(tmp_path / "demo"))
    while not (tmp_path / "demo/store/runs/feature-history/run.json").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 3, "two workers and the app"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    wait_until_gone(children)
    last_step = tmp_path / "demo/store/runs/feature-history/materialise/record.json"
    assert not last_step.exists(), "the run is stopped, not waited for"


def wait_until_gone(processes):
    deadline = time.monotonic() + 10  # multiprocessing's own helper sees after a moment that its parent is gone
    while left := [process for process in processes if Path(f"/proc/{process}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def has_trials(database):
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as study:
            return study.execute("SELECT count(*) FROM trials").fetchone() > (0,)
    except sqlite3.OperationalError:  # not made yet
        return False


def test_no_color_takes_the_colours_away(mlops):
    mlops.environ |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    colour = re.compile(r"\x1b\[[\d;]*3[1-7]m")
    assert colour.search(mlops("problem", "check").out)
    mlops.environ["NO_COLOR"] = "1"
    assert not colour.search(mlops("problem", "check").out)
