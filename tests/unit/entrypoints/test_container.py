"""The image as SageMaker starts it: a layout as below /opt/ml, texts as hyperparameters, failures where it looks."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from datetime import timedelta

import pytest
import urllib3

from pipelines.bootstrap import pipeline
from pipelines.entrypoints import container
from pipelines.entrypoints.cli.__main__ import report_failure
from pipelines.entrypoints.launch import scheduled
from pipelines.feature import FeatureParams
from tests.cloud.emulator import ROOT, free_port
from tests.conftest import HISTORY

FEATURE = pipeline("feature")
DAYS = FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=2))


@pytest.fixture
def platform(new_platform, monkeypatch):
    made = new_platform()
    for name, value in made.settings.variables().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def layout(tmp_path, monkeypatch):
    root = tmp_path / "opt/ml"
    (root / "input/config").mkdir(parents=True)
    monkeypatch.setattr(container, "ROOT", root)

    def write(**given):
        (root / "input/config/hyperparameters.json").write_text(json.dumps(given))
        return root

    return write


def test_a_training_job_leaves_its_step_s_output_as_its_model(platform, layout):
    platform.runner.start(FEATURE, DAYS, "days")
    root = layout(step="feature/extract", run_id="days")
    container.train()
    record = platform.runner.record("days", "extract")
    assert record.status == "succeeded"
    assert {path.name for path in (root / "model").iterdir()} == set(record.outputs)
    assert not (root / "output").exists()


@pytest.fixture
def together(layout, monkeypatch):
    """A job of two machines on which something else stands for torchrun; returns what it was asked for."""

    def make(host, code):
        root = layout(step="feature/extract", run_id="days")
        hosts = {"current_host": host, "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}
        (root / "input/config/resourceconfig.json").write_text(json.dumps(hosts))
        monkeypatch.setattr(
            container, "torchrun", lambda here, processes, command: [sys.executable, "-c", code, *command]
        )
        return root

    return make


STEP = "import sys; from pipelines.entrypoints.cli.__main__ import app; app(sys.argv[1:])"


def test_a_jobs_nodes_run_the_step_together_and_the_first_saves_the_model(platform, together):
    platform.runner.start(FEATURE, DAYS, "days")
    root = together("algo-1", STEP)
    container.train()
    assert {path.name for path in (root / "model").iterdir()} == set(platform.runner.record("days", "extract").outputs)


def test_another_machine_leaves_none(platform, together):
    platform.runner.start(FEATURE, DAYS, "days")
    root = together("algo-2", STEP)
    container.train()
    assert not (root / "model").exists()


def test_a_process_that_is_killed_is_a_failure_of_the_job(platform, together):
    platform.runner.start(FEATURE, DAYS, "days")
    root = together("algo-1", "raise SystemExit(9)")
    with pytest.raises(SystemExit):
        container.train()
    assert (root / "output/failure").read_text() == "a process ended with 9; see the log"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "has no step and no run_id"),
        ({"trial": "boosting"}, "has no run_id"),
        ({"step": "feature/fly", "run_id": "days"}, "has no step 'fly'"),
        ({"step": "feature/extract", "run_id": "none"}, "there is no run 'none'"),
        ({"step": "feature/validate", "run_id": "days"}, "needs extract first"),
    ],
)
def test_a_failure_is_written_for_sagemaker_and_sets_the_exit_code(platform, layout, given, reason):
    platform.runner.start(FEATURE, DAYS, "days")
    root = layout(**given)
    with pytest.raises(SystemExit) as exit_info:
        container.train()
    assert exit_info.value.code == 1
    assert reason in (root / "output/failure").read_text()


def test_the_text_of_a_failure_is_cut_to_what_is_shown(tmp_path):
    report_failure(ValueError("x" * 5000), tmp_path)
    assert (tmp_path / "output/message").read_text() == "x" * 1024


def test_a_run_that_the_clock_started_has_a_name_and_parameters_of_its_own(platform):
    first = scheduled(platform, FEATURE, "scheduled", "abc123")
    assert first == scheduled(platform, FEATURE, "scheduled", "abc123") == "feature-abc123"
    params = platform.runner._resource(FEATURE, "params", first)
    assert params.end - params.start == timedelta(days=1)
    assert scheduled(platform, FEATURE, "days", "abc123") == "days"


def test_serve_listens_where_sagemaker_says_and_stops_without_an_error(platform, tmp_path):
    port = free_port()
    environment = {**os.environ, **platform.settings.variables(), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-c", "from pipelines.entrypoints.container import serve; serve()"]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE) as process:
        retries = urllib3.Retry(total=100, backoff_factor=0.1, backoff_max=0.3)
        reply = urllib3.request("GET", f"http://127.0.0.1:{port}/ping", retries=retries)
        assert (reply.status, reply.json()) == (200, {"status": "ok", "release": None})
        refused = urllib3.request("POST", f"http://127.0.0.1:{port}/invocations", body=b"{}")
        assert refused.status == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_installed_commands_are_these():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: value for name, value in scripts.items() if name != "mlops"} == {
        "train": "pipelines.entrypoints.container:train",
        "serve": "pipelines.entrypoints.container:serve",
        "job": "pipelines.entrypoints.container:job",
    }


def job(platform, *command):
    """Run a Job's command in a process of its own, and return it."""
    program = [sys.executable, "-c", "from pipelines.entrypoints.container import job; job()", *command]
    return subprocess.Popen(program, env={**os.environ, **platform.settings.variables()}, cwd=ROOT)


def test_a_refused_candidate_is_no_failed_job(platform, monkeypatch):
    """An answer of no, exit code 3 of mlops, must not be tried again nor call anybody."""
    for code, told in ((3, 0), (1, 1), (2, 2)):
        monkeypatch.setattr(container, "main", lambda code=code: sys.exit(code))
        if told:
            with pytest.raises(SystemExit) as ended:
                container.job()
            assert ended.value.code == told
        else:
            container.job()


def test_a_job_ends_by_its_answer_and_by_its_errors(platform):
    assert job(platform, "status").wait() == 0
    assert job(platform, "run", "training", "--run-id", "no/id").wait() == 2, "wrong usage"
