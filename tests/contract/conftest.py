"""Every adapter of a port, so that one test body runs on each."""

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.online import SqliteOnline
from pipelines.adapters.local.queue import SqliteQueue


@pytest.fixture(params=["local"])
def objects(tmp_path):
    return FileObjects(tmp_path / "objects")


@pytest.fixture(params=["local"])
def online(tmp_path):
    return SqliteOnline(tmp_path / "online.db")


@pytest.fixture(params=["local"])
def queue(tmp_path):
    return SqliteQueue(tmp_path / "queue.db")
