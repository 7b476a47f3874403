"""The managed MLflow by its plugin: found by its ARN, asked by signed requests, and an index that may be down."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
import urllib3

from pipelines.registry.model_store import ONNX
from pipelines.registry.tracking import Tracking
from pipelines.training.index import index
from tests.cloud.emulator import ROOT, free_port

pytestmark = pytest.mark.cloud

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-1"


@pytest.fixture(scope="module")
def app(tmp_path_factory, mlflow_database):
    """The home and the URL of what stands for the App."""
    home, port = tmp_path_factory.mktemp("app") / "mlflow", free_port()
    shutil.copytree(mlflow_database, home)
    command = [sys.executable, "-m", "tests.cloud.mlflow_app", str(port), str(home)]
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        urllib3.request("GET", f"{url}/seen", retries=urllib3.Retry(total=200, backoff_factor=0.1, backoff_max=0.5))
        yield home, url
        server.terminate()


@pytest.fixture
def cloud(app, emulator, made, new_cloud, monkeypatch):
    """A platform on an environment with that App."""
    import mlflow

    monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", app[1])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # a busy machine is no failure
    before = mlflow.get_tracking_uri()
    yield new_cloud(stack=_published(made))
    mlflow.set_tracking_uri(before)


def _published(made):
    stack = made.stack().model_copy(update={"mlflow": ARN})
    made.publish(stack)
    return stack


def store(cloud, manifest, run_id):
    whole = manifest.model_copy(update={"run_id": run_id, "files": {ONNX: hashlib.sha256(b"graph").hexdigest()}})
    return cloud.models.put(whole, {ONNX: b"graph"})


def test_the_plugin_resolves_the_arn_and_signs_its_requests(app, cloud, manifest):
    store(cloud, manifest, "one")
    index(cloud.models, cloud.tracking)
    assert isinstance(cloud.tracking, Tracking)
    client = cloud.tracking._client
    assert type(client._tracking_client.store).__name__ == "MlflowSageMakerStore"
    (version,) = client.search_model_versions(f"name = '{manifest.problem}'")
    assert version.tags["version"] == "1"
    seen = urllib3.request("GET", f"{app[1]}/seen").json()
    assert len(seen) > 5
    for heads in seen:
        assert heads["x-sm-mlflow-app-arn"] == ARN
        assert "SignedHeaders=" in heads["authorization"] and "x-amz-date" in heads["authorization"]
    bucket = cloud.profile.stack.store.bucket
    files = cloud.profile.client("s3").list_objects_v2(Bucket=bucket, Prefix="mlflow/")["Contents"]
    assert any(item["Key"].endswith(ONNX) for item in files)


def test_mlflow_down_delays_only_logging_until_the_next_training(app, cloud, manifest, caplog):
    home, _ = app
    other = manifest.model_copy(update={"problem": "another"})
    (home / "down").touch()
    store(cloud, other, "while-down")
    index(cloud.models, cloud.tracking)
    assert "not indexed version=1" in caplog.text
    assert cloud.models.versions().keys() == {1}
    (home / "down").unlink()
    store(cloud, other, "back")
    index(cloud.models, cloud.tracking)
    versions = cloud.tracking._client.search_model_versions("name = 'another'")
    assert {version.tags["version"] for version in versions} == {"1", "2"}


def test_a_request_that_is_not_signed_is_refused(app):
    """What stands for the App does look."""
    answer = urllib3.request("GET", f"{app[1]}/api/2.0/mlflow/experiments/search?max_results=1")
    assert answer.status == 403
