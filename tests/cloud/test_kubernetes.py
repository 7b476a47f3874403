"""The profile `kubernetes` as far as it needs no cluster: its stores, wherever this process finds the emulator."""

from datetime import timedelta

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.adapters.aws.queue import EventQueue
from pipelines.adapters.kubernetes.template import Work, filled
from pipelines.config import UserError
from pipelines.entrypoints.cli.__main__ import app
from pipelines.storage.ports import OnlineRow
from pipelines.storage.tables import TIMESTAMP
from tests.conftest import HISTORY

pytestmark = pytest.mark.cloud


@pytest.fixture
def local(new_cloud, made):
    """A platform on an environment whose document has the emulator's name for pods, which means nothing here."""
    stack = made.stack("local").model_copy(update={"endpoint_url": "http://emulator.invalid:4566"})
    made.publish(stack)
    return new_cloud(stack=stack).changed({"profile": "kubernetes"})


def test_every_store_is_found_where_this_process_reaches_the_emulator(local):
    assert local.objects.create("runs/a", b"1")
    assert local.objects.read("runs/a") == b"1"
    day = pa.table({"time": pa.array([HISTORY], TIMESTAMP)})
    local.tables.overwrite("raw.t", day, "time", HISTORY, HISTORY + timedelta(days=1))
    assert local.tables.read("raw.t").num_rows == 1
    row = OnlineRow(HISTORY, (1.0,))
    local.online.write({("view", "a"): row}, {"view": HISTORY})
    assert local.online.read([("view", "a")]) == {("view", "a"): row}
    assert isinstance(local.events, EventQueue)
    local.events.send(b'{"alarm": 1}')
    (message,) = local.events.receive()
    assert b"alarm" in message.body
    assert local.signer.verify(b"said", local.signer.sign(b"said"))


def test_without_the_emulator_s_address_nobody_asks_aws(local, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(UserError, match="set AWS_ENDPOINT_URL to the emulator"):
        local.objects.read("a")


def test_the_doctor_says_what_a_run_in_the_cluster_lacks(local, monkeypatch, tmp_path):
    nowhere = str(tmp_path / "none")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", nowhere)
    for name, value in local.settings.variables().items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(app, ["doctor", "--no-cloud"]).output
    assert "has the stores of local" in said.replace("\n", " ")
    assert "no cluster is configured" in said
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert "set AWS_ENDPOINT_URL" in CliRunner().invoke(app, ["doctor", "--no-cloud"]).output


def test_a_job_s_manifest_is_the_template_s_with_the_work_of_the_run():
    container = {"name": "step", "image": "steps:1", "env": [{"name": "A", "value": "1"}]}
    template = {
        "kind": "Job",
        "metadata": {"labels": {"a": "b"}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    one = filled(template, Work("name", "training", "Run.1"))
    assert one["metadata"]["labels"] == {"a": "b", "pipeline": "training", "run": "name"}
    assert one["spec"]["template"]["metadata"]["annotations"] == {"run-id": "Run.1"}
    (made,) = one["spec"]["template"]["spec"]["containers"]
    assert made == {**container, "command": ["job", "run", "training", "--run-id", "Run.1"]}
    several = filled(template, Work("name", "training", "Run.1", machines=3))
    assert several["spec"]["completionMode"] == "Indexed"
    (made,) = several["spec"]["template"]["spec"]["containers"]
    assert made["command"] == ["job", "train", "--run-id", "Run.1"]
    assert {one["name"]: one["value"] for one in made["env"]} == {
        "A": "1",
        "RATCHET_NUM_NODES": "3",
        "RATCHET_MASTER_ADDR": "name-0.training",
    }
    assert template["metadata"] == {"labels": {"a": "b"}}, "the template stays what it is"
