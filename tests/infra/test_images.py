"""The image on its way into the registry: the registry on an emulator, Docker and cosign as stand-ins on the path."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.names import Names
from infra.tools import images
from pipelines.config import UserError
from tests.infra.environments import ACCOUNT, REGION

pytestmark = pytest.mark.infra
NAMES = Names("thing", "dev", ACCOUNT, REGION)
# Pushing is putting the manifest of an image; a registry gives it its digest.
PROGRAM = f"""\
#!{sys.executable}
import json, os, sys
given = sys.stdin.read() if "--password-stdin" in sys.argv else ""
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], given]) + "\\n")
raise SystemExit(int(os.environ.get("CODE", "0")))
"""
ROOT = Path(__file__).parents[2]
OCI, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def ecr(tmp_path, monkeypatch):
    """A registry, and programs that keep what they are asked for."""
    (tmp_path / "bin").mkdir()
    for name in ("docker", "cosign"):
        (tmp_path / "bin" / name).write_text(PROGRAM)
        (tmp_path / "bin" / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    for name, text in {**environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, text)
    with mock_aws():
        client = boto3.client("ecr", region_name=REGION)
        client.create_repository(repositoryName="thing", imageTagMutability="IMMUTABLE")
        yield client


@pytest.fixture
def calls(tmp_path):
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def arrives(ecr, tag, kind=images.TAKEN):
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": tag})
    put = ecr.put_image(repositoryName="thing", imageTag=tag, imageManifest=manifest, imageManifestMediaType=kind)
    return put["image"]["imageId"]["imageDigest"]


def test_the_image_of_a_commit_is_pushed_under_it_and_named_by_its_digest(ecr, calls, monkeypatch):
    run = images.run

    def docker(*command, **given):
        run(*command, **given)
        if command[1] == "push":
            arrives(ecr, "c0ffee")
        return ""

    monkeypatch.setattr(images, "run", docker)
    digest = images.push(ecr, NAMES, "c0ffee")
    assert digest.startswith("sha256:")
    assert digest == images.pushed(ecr, NAMES, "c0ffee")
    name = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/thing:c0ffee"
    assert [call[:-1] for call in calls()] == [
        ["docker", "tag", "thing-sagemaker:local", name],
        ["docker", "push", "--quiet", name],
    ]


def test_a_commit_that_is_there_is_not_pushed_again(ecr, tmp_path):
    there = arrives(ecr, "c0ffee")
    assert images.push(ecr, NAMES, "c0ffee") == there
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("kind", [OCI, INDEX])
def test_an_image_that_sagemaker_does_not_take_is_an_error(ecr, kind):
    arrives(ecr, "c0ffee", kind)
    with pytest.raises(UserError, match=rf"as {re.escape(kind)}, and SageMaker takes .*batch-delete-image"):
        images.push(ecr, NAMES, "c0ffee")


def test_the_build_asks_for_one_platform_and_the_media_types_of_docker():
    planned = subprocess.run(["make", "-n", "image"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"docker build --platform linux/amd64 --provenance=false --output type=docker --tag", planned)
    assert images.TARGET in re.search(r"for target in ([a-z ]+);", planned)[1].split()


def test_sagemaker_starts_the_image_as_root_and_a_cluster_as_nobody():
    stages = re.split(r"^FROM \S+ AS ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    users = {stage.split()[0]: re.findall(r"^USER (\S+)", stage, re.MULTILINE) for stage in stages}
    assert users[images.TARGET] == ["0:0"]
    assert users["common"] == ["10001:10001"] and users["steps"] == users["serve"] == []


def test_a_push_that_did_not_arrive_is_an_error(ecr):
    with pytest.raises(UserError, match="the registry does not have it"):
        images.push(ecr, NAMES, "c0ffee")


def test_docker_gets_the_registrys_password_where_no_process_list_shows_it(ecr, calls):
    images.login(ecr, NAMES)
    ((_, *arguments, password),) = calls()
    assert arguments == ["login", "--username", "AWS", "--password-stdin", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"]
    assert password and password not in arguments


def test_a_program_that_fails_is_an_error(ecr, monkeypatch):
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(UserError, match="docker tag failed with 1"):
        images.push(ecr, NAMES, "c0ffee")


def test_a_program_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="cosign is not on the path"):
        images.verify("thing@sha256:0", images.key(NAMES))
