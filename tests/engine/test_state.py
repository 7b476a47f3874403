"""The state of the bootstrap, moved into the bucket and back; S3 and KMS are the emulator's, as Pulumi asks them itself."""

import json
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest

from tests.cloud.emulator import running_emulator
from tests.engine.engine import Engine
from tests.engine.test_bootstrap import HERE, bootstrapped

pytestmark = pytest.mark.engine
SETTING, SECRET = "bootstrap:secrets_of_somebody", "of-nobody-else"


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """The URL of an emulator of AWS."""
    with running_emulator() as url:
        yield url


def make_home(engine: Engine, emulator: str) -> Engine:
    """Make the bucket and the key of the stack's outputs on the emulator, and return an engine that asks it."""
    asked = json.loads(engine.pulumi("stack", "output", "--json", "--stack", "main", within=HERE))
    bucket, _, region = asked["state"].removeprefix("s3://").partition("?region=")
    alias = asked["secrets"].removeprefix("awskms://").partition("?")[0]
    session = boto3.Session("test", "test", region_name=region)
    place = {"LocationConstraint": region}
    session.client("s3", endpoint_url=emulator).create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    kms = session.client("kms", endpoint_url=emulator)
    kms.create_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    return replace(
        engine,
        environ={
            **engine.environ,
            "AWS_ENDPOINT_URL": emulator,
            "LOCAL_STATE": engine.variables["PULUMI_BACKEND_URL"],
            "PULUMI_BACKEND_URL": "",  # a login decides
        },
    )


def moved(engine: Engine, *arguments: str) -> str:
    """Move the state, and return where Pulumi is logged in then."""
    engine.run("sh", "move_state.sh", "main", *arguments, within=HERE)
    return str(json.loads(engine.pulumi("whoami", "--json", within=HERE))["url"])


def test_a_state_moves_into_the_bucket_and_back_with_its_secrets(engine, emulator):
    engine = bootstrapped(engine)
    engine.up("main", within=HERE)
    engine.pulumi("config", "set", "--secret", SETTING, SECRET, "--stack", "main", within=HERE)
    before = engine.things("main", within=HERE)
    settings = engine.checkout / HERE / "Pulumi.main.yaml"
    engine = make_home(engine, emulator)
    for arguments, url, provider in (((), "s3://", "secretsprovider: awskms://"), (("back",), "file://", "salt: ")):
        assert moved(engine, *arguments).startswith(url)
        assert engine.things("main", within=HERE) == before
        assert provider in settings.read_text()
        assert engine.pulumi("config", "get", SETTING, "--stack", "main", within=HERE).strip() == SECRET
        kept = settings.read_text()
        engine.pulumi("config", "rm", SETTING, "--stack", "main", within=HERE)  # which the program does not know
        engine.up("main", "--expect-no-changes", within=HERE)
        settings.write_text(kept)


def test_a_move_that_was_stopped_anywhere_is_done_by_running_it_again(engine, emulator, tmp_path):
    engine = bootstrapped(engine)
    engine.up("main", within=HERE)
    before = engine.things("main", within=HERE)
    engine = make_home(engine, emulator)
    stops = tmp_path / "stops"
    stops.mkdir()
    for command in ("change-secrets-provider", "export", "select", "import", "login", "rm"):
        script = f'case "$*" in *"{command}"*) exit 9;; esac\nexec {engine.bin}/pulumi "$@"\n'
        (stops / "pulumi").write_text(f"#!/bin/sh\n{script}")
        (stops / "pulumi").chmod(0o755)
        engine.run(
            "env", f"PATH={stops}:{engine.variables['PATH']}", "sh", "move_state.sh", "main", within=HERE, code=9
        )
    assert moved(engine).startswith("s3://")
    assert engine.things("main", within=HERE) == before
    engine.up("main", "--expect-no-changes", within=HERE)
