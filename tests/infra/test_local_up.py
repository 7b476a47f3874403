"""``make local-up`` and ``local-down`` without a cluster: what is made on the emulator, and what is asked of programs."""

import json
import os
import stat

import boto3
import pytest
import yaml

from infra.local import emulator as emulators
from infra.local import leftovers, stores
from infra.local.manifests import Cluster
from infra.program import ROOT
from infra.resource import Resource
from infra.tools import local as local_main
from infra.tools.local_engine import by_pulumi
from infra.tools.recording import record
from pipelines.adapters.aws.document import read_stack
from pipelines.adapters.aws.objects import S3Objects
from pipelines.adapters.aws.online import DynamoOnline
from pipelines.adapters.aws.queue import EventQueue
from pipelines.adapters.aws.signer import KmsSigner
from pipelines.config import UserError
from tests.cloud.emulator import free_port
from tests.infra.locally import given, local, plan

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A moto server, started and stopped as the commands do."""
    folder, url = tmp_path_factory.mktemp("emulator"), f"http://localhost:{free_port()}"
    assert emulators.start(url, plan().names.account, folder)
    yield url
    assert emulators.stop(folder)
    assert not emulators.stop(folder)


@pytest.fixture
def client(url):
    return stores.clients(url, plan().names, "local", "local")


def made(client):
    """Make everything on the emulator; return what it said of each resource."""
    said = {}

    def make(resource):
        said[resource.urn] = stores.make(client, plan().names, resource)
        return said[resource.urn]

    record(plan(), made=make)
    return said


def test_stores_work_on_the_local_environment_and_nothing_is_left(client, url, monkeypatch):
    assert made(client) == made(client)  # twice is no harm: keys and queues are the same
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    session = boto3.Session("local", "local", region_name=plan().names.region)
    stack = read_stack(session, "thing", "local")
    objects = S3Objects(client("s3"), stack.store.bucket, stack.store.key, 0)
    objects.write("a/b", b"data")
    assert objects.read("a/b") == b"data"
    events = EventQueue(client("events"), client("sqs"), stack.bus, stack.project, stack.queue)
    events.send(b'{"kind": "manual"}')
    assert [json.loads(one.body) for one in events.receive()] == [{"kind": "manual"}] and events.depth().dead == 0
    signer = KmsSigner(client("kms"), stack.signer)
    assert signer.verify(b"data", signer.sign(b"data"))
    assert DynamoOnline(client("dynamodb"), stack.features.online, None, client("dynamodb")).as_of("view") is None
    leftovers.remove(client, plan().names)
    assert leftovers.left(client, plan().names) == []


def test_what_is_left_is_reported(client):
    client("sqs").create_queue(QueueName="thing-local-forgotten")
    where = {"LocationConstraint": plan().names.region}
    client("s3").create_bucket(Bucket="thing-staging-store", CreateBucketConfiguration=where)
    (left,) = leftovers.left(client, plan().names)
    assert left.startswith("sqs ") and left.endswith("thing-local-forgotten")
    leftovers.remove(client, plan().names)
    assert leftovers.left(client, plan().names) == []


def test_every_type_is_made_or_left_out_on_purpose(client):
    kinds = {one.type for one in local() if one.type.startswith("aws:")}
    assert kinds >= stores.LEFT_OUT
    with pytest.raises(UserError, match="is not known"):
        stores.make(client, plan().names, Resource("aws:rds/instance:Instance", "it"))


def test_an_emulator_that_answers_is_left_as_it_is(url, tmp_path):
    assert not emulators.start(url, "0" * 12, tmp_path)
    assert not emulators.stop(tmp_path)


def test_a_number_that_is_another_processes_now_is_not_ended(tmp_path):
    (tmp_path / "emulator.pid").write_text(str(os.getpid()))
    assert not emulators.stop(tmp_path)


def program(folder, name, script):
    """Put a program on the path that writes down what it is asked and does as the script says."""
    file = folder / name
    file.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>{folder}/{name}.log\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    return lambda: (folder / f"{name}.log").read_text().splitlines()


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """A folder that programs are found in before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_kubectl_refusing_is_reported_with_its_reason(on_path):
    program(on_path, "kubectl", 'echo "the server said no" >&2; exit 1')
    with pytest.raises(UserError, match="kubectl apply: the server said no"):
        Cluster("there").apply([])


def test_a_missing_kubectl_is_reported_with_where_it_is_to_be_had():
    with pytest.raises(UserError, match=r"kubectl-of-nowhere is not on the path: https://kubernetes\.io"):
        Cluster(None, ("kubectl-of-nowhere",)).apply([])


def test_down_fails_when_something_is_left(on_path, url, monkeypatch, tmp_path):
    asked = program(
        on_path, "kubectl",
        'case "$*" in *api-resources*) echo pods;; *persistentvolumes*) echo "thing-local pv-1";; *-oname*) echo pod/a;; esac',
    )  # fmt: skip
    monkeypatch.setattr(local_main, "FOLDER", tmp_path)
    monkeypatch.setattr(local_main, "RECLAIMED_SECONDS", 0)
    with pytest.raises(UserError, match="left: pod/a, persistentvolume/pv-1"):
        local_main.down({**given(), "infra:context": "there"}, url, project="thing")
    assert all(line.startswith("--context=there ") for line in asked())
    assert any("delete namespace thing-local" in line for line in asked())


def test_secrets_stay_those_that_the_cluster_has(on_path):
    program(on_path, "kubectl", 'case "$*" in *alerts*) echo "token=kept-since-the-first-up";; esac')
    stated = {key: value for key, value in given().items() if key != "infra:secrets"}
    one, other = (local_main.with_secrets(stated, Cluster(None), "thing").config.secrets for _ in range(2))
    assert one.alerts_token == other.alerts_token == "kept-since-the-first-up"
    assert one.grafana_password != other.grafana_password  # there was none yet


def test_pulumi_is_given_the_secrets_once_and_never_by_its_command_line(on_path, url):
    """A stand-in for the CLI, which only shows what it would be asked; the real one is exercised in test_engine.py."""
    file = on_path / "state/Pulumi.local.yaml"
    asked = program(
        on_path, "pulumi",
        'case "$*" in "stack "*--config-file*) echo "unknown flag: --config-file" >&2; exit 255;; esac\n'
        'test "$1" != stack || echo "encryptionsalt: salt" >>Pulumi.local.yaml\n'
        'test "$2" != set || cat >>"$(dirname "$0")/secrets"',
    )  # fmt: skip
    checkout = (ROOT / "infra/Pulumi.local.yaml").read_text()
    stated = {key: value for key, value in given(gpu={"count": 1}).items() if key != "infra:secrets"}
    by_pulumi("up", stated, url, on_path / "state")
    assert [" ".join(line.split()[:2]) for line in asked()] == ["stack select", *["config set"] * 4, "up --yes"]
    secrets = (on_path / "secrets").read_text()
    assert len(secrets) > 50 and secrets[-40:] not in "".join(asked())
    assert (ROOT / "infra/Pulumi.local.yaml").read_text() == checkout
    config = yaml.safe_load(file.read_text())
    assert config["encryptionsalt"] == "salt"
    assert config["config"]["infra:gpu"] == {"count": 1}
    encrypted = {"alerts_token": {"secure": "v1:abc"}}
    file.write_text(
        yaml.safe_dump({"encryptionsalt": "salt", "config": {**config["config"], "infra:secrets": encrypted}})
    )
    by_pulumi("down", stated, url, on_path / "state")
    assert asked()[-1].startswith("destroy --yes") and "config" not in asked()[-2].split()
    kept = yaml.safe_load(file.read_text())
    assert kept["config"]["infra:secrets"] == encrypted and kept["encryptionsalt"] == "salt"
    assert stat.S_IMODE((on_path / "state/passphrase").stat().st_mode) == 0o600


def test_a_command_of_pulumi_that_fails_is_told_without_a_traceback(on_path, url):
    program(on_path, "pulumi", 'test "$1" != up || exit 3')
    stated = {key: value for key, value in given().items() if key != "infra:secrets"}
    with pytest.raises(UserError, match=r"'pulumi up --yes .*' failed with 3"):
        by_pulumi("up", stated, url, on_path / "state")
