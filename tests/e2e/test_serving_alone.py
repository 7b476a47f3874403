"""The serving app in an environment of the serving image's packages alone, made from the lock file."""

import os
import subprocess
import sys

import pytest
import urllib3

from tests.cloud.emulator import ROOT, free_port
from tests.e2e.load import one

pytestmark = pytest.mark.slow

ABSENT = ("torch", "mlflow", "evidently", "sklearn", "pyiceberg", "onnx", "matplotlib", "optuna", "kubernetes")
ASK = "import sys; from importlib.util import find_spec; print([name for name in sys.argv[1:] if find_spec(name)])"


def test_the_app_serves_without_what_only_training_needs(released, tmp_path):
    place = tmp_path / "venv"
    sync = [
        "uv",
        "sync",
        "--frozen",
        "--quiet",
        "--no-default-groups",
        "--only-group",
        "serve",
        "--python",
        sys.executable,
    ]
    subprocess.run(sync, check=True, cwd=ROOT, env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(place)})
    python, port = str(place / "bin/python"), free_port()
    found = subprocess.run([python, "-c", ASK, *ABSENT], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    environ = {**os.environ, **released.settings.variables(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [python, "-m", "pipelines.entrypoints.cli", "serve", "--port", str(port)], cwd=ROOT, env=environ
    ) as app:
        try:
            retries = urllib3.Retry(total=300, backoff_factor=0.1, backoff_max=0.5)
            urllib3.PoolManager().request("GET", f"http://127.0.0.1:{port}/ping", retries=retries)
            reply = urllib3.request("POST", f"http://127.0.0.1:{port}/invocations", body=one(), retries=False)
            assert reply.status == 200, reply.data
            assert reply.json()["model_version"] == 1
        finally:
            app.terminate()
    assert app.returncode == 0
