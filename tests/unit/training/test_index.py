"""MLflow is an index: while it is down training goes on, and what it missed is recorded with the next."""

import hashlib

import pytest

from pipelines.registry.model_store import ONNX
from pipelines.registry.tracking import Tracking
from pipelines.training.index import index


@pytest.fixture
def platform(new_platform):
    return new_platform()


def store(platform, manifest, run_id):
    whole = manifest.model_copy(update={"run_id": run_id, "files": {ONNX: hashlib.sha256(b"graph").hexdigest()}})
    return platform.models.put(whole, {ONNX: b"graph"})


def recorded(platform):
    return {version.tags["version"] for version in platform.tracking._client.search_model_versions()}


def test_what_was_registered_while_it_was_down_is_recorded_once_it_is_back(platform, manifest, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = Tracking("http://127.0.0.1:9", "file:///nowhere")
    store(platform, manifest, "one")
    index(platform.models, down)
    assert "not indexed version=1" in caplog.text
    store(platform, manifest, "two")
    for _ in range(2):
        index(platform.models, platform.tracking)
    assert recorded(platform) == {"1", "2"}
    assert len(platform.tracking._client.search_model_versions()) == 2
