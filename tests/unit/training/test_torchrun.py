import json
import sys

import pytest

from pipelines.config import UserError
from pipelines.settings import Node, Settings, node, rank
from pipelines.training.torchrun import meeting, torchrun


def test_a_sagemaker_job_tells_each_host_its_place(tmp_path):
    job = tmp_path / "resourceconfig.json"
    job.write_text(json.dumps({"current_host": "algo-10", "hosts": ["algo-2", "algo-10", "algo-1"]}))
    assert node(Settings(), {}, job) == Node(3, 2, "algo-1")


def test_several_machines_meet_where_the_job_says(tmp_path):
    job = tmp_path / "resourceconfig.json"
    hosts = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}
    job.write_text(json.dumps(hosts))
    assert meeting(node(Settings(), {}, job)) == {"GLOO_SOCKET_IFNAME": "eth0", "NCCL_SOCKET_IFNAME": "eth0"}
    assert "NCCL_SOCKET_IFNAME" not in meeting(node(Settings(), {}, tmp_path / "none"))


def test_a_pod_of_an_indexed_job_has_its_number_in_the_environment(tmp_path):
    settings = Settings(num_nodes=4, master_addr="train-0.train")
    environ = {"JOB_COMPLETION_INDEX": "3"}
    assert node(settings, environ, tmp_path / "none") == Node(4, 3, "train-0.train")


def test_elsewhere_there_is_one_machine(tmp_path):
    assert node(Settings(), {}, tmp_path / "none") == Node(1, 0, "localhost")


@pytest.mark.parametrize(
    ("environ", "number"), [({}, None), ({"RANK": "1"}, None), ({"RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, 1)]
)
def test_a_process_knows_its_rank_from_torchrun_alone(environ, number):
    assert rank(environ) == number


def test_the_command_on_one_machine_and_on_several(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    step = ["step", "training/train", "--run-id", "r"]
    one = torchrun(Node(1, 0, "localhost"), 2, step)
    assert one[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert one[3:] == ["--standalone", "--nproc-per-node=2", "-m", "pipelines.entrypoints.cli", *step]
    several = torchrun(Node(3, 2, "algo-1"), 8, step)
    assert {"--nnodes=3", "--node-rank=2", "--master-addr=algo-1", "--nproc-per-node=8"} <= set(several)
    with pytest.raises(UserError, match="ranks go from 0"):
        torchrun(Node(2, 2, "algo-1"), 1, step)


def test_without_the_extra_several_processes_say_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="uv sync --extra torch"):
        torchrun(Node(1, 0, "localhost"), 2, [])
