"""The Pulumi engine itself, where ``pulumi`` is on the path: preview, up, up again, destroy.

Against moto by default. With ``RATCHET_REAL_AWS=1`` and an administrator's credentials against AWS: an environment
``trial`` of its own, without an image, which is destroyed again; it takes minutes and costs cents.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
import yaml

from infra.names import Names
from infra.program import ROOT, wanted
from infra.tools.leftovers import left
from tests.infra.environments import ACCOUNT, REGION

pytestmark = [
    pytest.mark.infra,
    pytest.mark.skipif(not shutil.which("pulumi"), reason="pulumi is not on the path"),
]
REAL = os.environ.get("RATCHET_REAL_AWS") == "1"
EMULATOR = Path(__file__).with_name("emulator.txt")


@pytest.fixture
def emulator(tmp_path):
    """A moto server; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", (tmp_path / "moto.log").open("w")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            for _ in range(60):
                try:
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield url
        finally:
            server.terminate()


def pulumi(folder, environ, *arguments, within=ROOT / "infra"):
    done = subprocess.run(
        ["pulumi", *arguments, "--stack", "trial", "--non-interactive"],
        cwd=within,
        env={**os.environ, "PULUMI_BACKEND_URL": f"file://{folder}", "PULUMI_CONFIG_PASSPHRASE": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def state(folder, environ):
    exported = json.loads(pulumi(folder, environ, "stack", "export"))
    return [one["type"] for one in exported["deployment"].get("resources", []) if one["custom"]]


def lifecycle(folder, environ, config, *left_out):
    """Preview, up, up again without a change, destroy; return the types that were made."""
    stated = {"config": {f"infra:{key}": value for key, value in config.items()}}
    (folder / "Pulumi.trial.yaml").write_text(yaml.safe_dump(stated))
    shutil.copy(ROOT / "infra/Pulumi.yaml", folder)  # `pulumi stack` takes no --config-file, and writes beside this
    pulumi(folder, environ, "stack", "init", within=folder)
    file = ("--config-file", str(folder / "Pulumi.trial.yaml"))
    try:
        pulumi(folder, environ, "preview", *file, *left_out)
        pulumi(folder, environ, "up", "--yes", "--skip-preview", *file, *left_out)
        made = state(folder, environ)
        pulumi(folder, environ, "up", "--yes", "--skip-preview", "--expect-no-changes", *file, *left_out)
    finally:
        pulumi(folder, environ, "destroy", "--yes", "--skip-preview", *file)
    assert state(folder, environ) == []
    return made


@pytest.mark.skipif(REAL, reason="RATCHET_REAL_AWS=1 asks for AWS itself")
def test_an_environment_comes_stays_and_goes_on_the_emulator(tmp_path, emulator):
    config = {
        "account": ACCOUNT, "owner": "team", "serving": {"kind": "serverless"}, "budget_percent": 10, "mlflow": "none",
        "emulator": emulator,
    }  # fmt: skip
    environ = {"AWS_ENDPOINT_URL": emulator, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    tokens = [line.split()[0] for line in EMULATOR.read_text().splitlines() if line.startswith("aws:")]
    made = lifecycle(tmp_path, environ, config, *(part for token in tokens for part in ("--exclude", f"**{token}**")))
    assert {"aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", "aws:ssm/parameter:Parameter"} <= set(made)


@pytest.mark.skipif(not REAL, reason="RATCHET_REAL_AWS=1 makes and removes an environment in a real account")
def test_an_environment_comes_stays_and_goes_in_a_real_account(tmp_path):
    account = boto3.client("sts", region_name=REGION).get_caller_identity()["Account"]
    config = {"account": account, "owner": "team", "serving": {"kind": "serverless"}, "budget_percent": 1}
    plan = wanted("trial", {f"infra:{key}": json.dumps(value) for key, value in config.items()})
    iam, boundary = boto3.client("iam"), plan.names.boundary_arn
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.create_policy(PolicyName=boundary.rpartition("/")[2], PolicyDocument=json.dumps(everything))
    try:
        lifecycle(tmp_path, {"AWS_REGION": plan.names.region}, config)
    finally:
        iam.delete_policy(PolicyArn=boundary)
    things, keys = left(Names(plan.names.project, "trial", account, plan.names.region))
    assert things == [] and keys
