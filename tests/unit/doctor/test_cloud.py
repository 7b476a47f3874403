"""The doctor on AWS: against moto's server, with each thing that can be wrong planted; each finding says its fix."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pipelines.config import UserError
from pipelines.contracts import Cloud
from pipelines.contracts.setup import Identities, Setup, setup_parameter
from pipelines.contracts.stack import parameter_name
from pipelines.doctor import FindingState, cloud, examine
from pipelines.doctor.maturity import WORKFLOWS, maturity
from pipelines.doctor.quotas import quotas, wanted
from pipelines.doctor.tools import TOOLS, Tool, tools
from tests.conftest import PROBLEMS, ROOT

REGION, ACCOUNT = "eu-west-1", "123456789012"
STATED = Cloud(region=REGION, monthly_budget=200)


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def session():
    """One for all tests: it reads the models of services once."""
    return boto3.Session("test", "test", region_name=REGION)


@pytest.fixture
def aws(moto, session, monkeypatch):
    """A session on an empty account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield session
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")).close()


@pytest.fixture
def bootstrapped(aws):
    """An account as the bootstrap leaves it, with a stack of dev."""
    iam, ssm = aws.client("iam"), aws.client("ssm")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    arns = {
        name: iam.create_role(RoleName=f"fleet-{name}", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        for name in ("deploy-dev", "plan-dev", "deploy-prod", "plan-prod")
    }
    environments = {
        name: Identities(deploy=arns[f"deploy-{name}"], plan=arns[f"plan-{name}"], boundary="arn")
        for name in ("dev", "prod")
    }
    document = Setup(
        project="fleet",
        account=ACCOUNT,
        region=REGION,
        state="s3://fleet-state",
        secrets="awskms://alias/fleet-state",
        images="images",
        environments=environments,
    )
    ssm.put_parameter(Name=setup_parameter("fleet"), Value=document.to_json().decode(), Type="String")
    ssm.put_parameter(Name=parameter_name("fleet", "dev"), Value="s3://store/stack.json", Type="String")
    return aws


def look(session, root):
    return list(cloud.examine_cloud(session, root, "fleet", STATED))


def of(check, findings):
    return [f"{found.state.value}: {found.says}" for found in findings if found.check == check]


def test_an_account_in_order(bootstrapped, tmp_path):
    found = look(bootstrapped, tmp_path)
    assert of("credentials", found) == [f"ok: arn:aws:sts::{ACCOUNT}:user/moto"]
    assert of("region", found) == [f"ok: {REGION}"]
    assert of("clock", found)[0].startswith("ok: within")
    assert of("bootstrap", found) == ["ok: done, for dev, prod; state in s3://fleet-state"]
    assert of("stack", found) == [
        "ok: dev is provisioned",
        "note: prod is not provisioned yet; 'pulumi up -s prod' in infra",
    ]


def test_an_account_that_was_not_set_up(aws, tmp_path):
    (says,) = of("bootstrap", look(aws, tmp_path))
    assert says == f"todo: account {ACCOUNT} was not set up for fleet in {REGION}; docs/first-day.md has the commands"


def test_a_role_that_somebody_deleted(bootstrapped, tmp_path):
    bootstrapped.client("iam").delete_role(RoleName="fleet-plan-prod")
    assert of("bootstrap", look(bootstrapped, tmp_path)) == [
        "todo: fleet-plan-prod: gone since; 'pulumi up' in infra/bootstrap makes it again"
    ]


def test_without_credentials_the_rest_is_left_alone(aws, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = look(boto3.Session(), tmp_path)
    (says,) = of("credentials", found)
    assert says.startswith(
        "todo: Unable to locate credentials; 'aws sso login' or 'aws configure' gets some; no more was checked"
    )
    assert [one.check for one in found] == ["region", "credentials"]


def test_where_nothing_answers(aws, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (says,) = of("credentials", look(boto3.Session(), tmp_path))
    assert says.startswith("todo: Could not connect to the endpoint URL")


@pytest.mark.parametrize(("here", "says"), [("us-east-1", "is us-east-1 here"), (None, "is not set here")])
def test_another_region(here, says):
    found = cloud.region(here, REGION)
    assert (found.state, found.says) == (
        FindingState.TODO,
        f"{says}, and {REGION} in cloud.toml; run 'export AWS_REGION={REGION}'",
    )


@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (3, "ok"), (-3, "ok"), (6, "todo"), (-6, "todo")])
def test_a_clock_that_is_off(minutes, state):
    now = datetime.now(UTC)
    found = cloud.clock(now, now + timedelta(minutes=minutes))
    assert found.state.value == state
    if state == "todo":
        assert f"360 s {'ahead of' if minutes > 0 else 'behind'} AWS's" in found.says
        assert "timedatectl set-ntp true" in found.says


def test_the_clock_is_compared_even_where_aws_refuses():
    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            body = b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>expired</Message></Error></ErrorResponse>"
            self.send_response_only(403)
            self.send_header("Date", "Mon, 05 Jan 2026 12:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with serving(Refusing) as url:
        session = boto3.Session("key", "secret", region_name=REGION)
        caller = cloud.who(_At(session, url), REGION)
    assert caller.account is None
    assert caller.arn == "SignatureDoesNotMatch: expired"
    assert caller.said_at == datetime(2026, 1, 5, 12, tzinfo=UTC)


class _At:
    """A session whose clients ask one address."""

    def __init__(self, session, url):
        self.session, self.url = session, url

    def client(self, service, **arguments):
        return self.session.client(service, endpoint_url=self.url, **arguments)


class serving:  # noqa: N801
    """A small server for the time of a test."""

    def __init__(self, handler):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def quota_api(applied):
    """A server of Service Quotas, which moto has for VPCs alone: defaults of 0, in pages of one."""
    names = ["ml.g5.xlarge for spot training job usage", "ml.m5.large for endpoint usage"]

    class Quotas(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            at = int(asked.get("NextToken", 0))
            given = (
                applied if self.headers["X-Amz-Target"].endswith(".ListServiceQuotas") else dict.fromkeys(names, 0.0)
            )
            listed = [
                {"QuotaName": name, "QuotaCode": f"L-{names.index(name)}", "Value": value}
                for name, value in given.items()
            ]
            answer = {"Quotas": listed[at : at + 1], **({"NextToken": str(at + 1)} if at + 1 < len(listed) else {})}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    return serving(Quotas)


def stacks(root):
    (root / "infra").mkdir()
    (root / "infra/Pulumi.dev.yaml").write_text(
        "config:\n  infra:training: {gpu_instance: ml.g5.xlarge, instances: 2}\n  infra:serving: {kind: serverless}\n"
    )
    (root / "infra/Pulumi.prod.yaml").write_text(
        "config:\n  infra:serving: {kind: real-time, instance: ml.m5.large, max_instances: 3}\n"
    )
    (root / "infra/Pulumi.empty.yaml").write_text("")


def test_what_the_stacks_need_is_read_from_their_files(tmp_path):
    assert wanted(tmp_path) == {}
    stacks(tmp_path)
    assert wanted(tmp_path) == {
        "ml.m5.xlarge for spot training job usage": 2,
        "ml.g5.xlarge for spot training job usage": 2,
        "ml.m5.xlarge for processing job usage": 1,
        "ml.m5.large for endpoint usage": 6,
    }


def test_training_that_is_stated_wrongly_is_reported(tmp_path):
    stacks(tmp_path)
    (tmp_path / "infra/Pulumi.dev.yaml").write_text(
        "config:\n  infra:training: {gpu: ml.g5.xlarge}\n  infra:serving: {}\n"
    )
    with pytest.raises(UserError, match=r"Pulumi.dev.yaml: gpu: unknown key"):
        wanted(tmp_path)


def test_a_quota_that_is_too_low_is_found_with_the_command_that_raises_it(tmp_path):
    stacks(tmp_path)
    with quota_api({"ml.m5.large for endpoint usage": 8.0}) as url:
        client = boto3.client(
            "service-quotas", endpoint_url=url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
        )
        asked = {name: count for name, count in wanted(tmp_path).items() if "ml.m5.xlarge" not in name}
        found = list(quotas(client, {**asked, "ml.z9.huge for endpoint usage": 1}))
    assert [f"{one.state.value}: {one.says}" for one in found] == [
        "todo: ml.g5.xlarge for spot training job usage: 0, and 2 are needed; 'aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code L-0 --desired-value 2' asks for it (hours to days)",
        "ok: ml.m5.large for endpoint usage: 8",
        "todo: ml.z9.huge for endpoint usage: AWS knows no such quota in this region; is the instance type offered there?",
    ]


def test_quotas_that_cannot_be_read_stop_nothing(bootstrapped, tmp_path):
    stacks(tmp_path)
    (says,) = of("quota", look(bootstrapped, tmp_path))
    assert says.startswith("todo: could not be read: ")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo v3.272.0", "ok: 3.272.0"),
        ("echo v3.100.0", "todo: 3.100.0 runs; 3.230 or newer is needed"),
        ("exit 1", "todo: is not installed or does not run; https://"),
        (None, "todo: is not installed or does not run; https://"),
    ],
)
def test_the_version_of_a_tool(script, says, tmp_path, monkeypatch):
    if script:
        (tmp_path / "pulumi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = tools(tuple(tool for tool in TOOLS if tool.name == "pulumi"))
    assert f"{found.state.value}: {found.says}".startswith(says)


def test_gits_own_version_is_read():
    git = Tool("git", ("--version",), (1, 0), "", "")
    assert [found.state for found in tools((git,))] == [FindingState.OK]


def test_the_level_of_maturity_and_what_the_next_one_misses(bootstrapped, tmp_path):
    (tmp_path / "releases").mkdir()
    says = maturity(tmp_path, []).says
    assert says.startswith(
        "level 0 of 2 (manual); level 1 (automated training) misses: .github/workflows/continuous-training.yml"
    )
    assert says.endswith("a bootstrapped account; an environment that is provisioned")
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    for name in WORKFLOWS[1]:
        (workflows / name).touch()
    found = look(bootstrapped, tmp_path)
    assert maturity(tmp_path, found).says.startswith(
        "level 1 of 2 (automated training); level 2 (automated delivery) misses"
    )
    for name in WORKFLOWS[2]:
        (workflows / name).touch()
    assert maturity(tmp_path, found).says.endswith(
        "misses: releases in two environments or more, by reviewed files (0 now)"
    )
    for name in ("dev", "prod"):
        (tmp_path / f"releases/{name}.toml").touch()
    assert maturity(tmp_path, found).says == "level 2 of 2 (automated delivery)"


def test_aws_is_checked_only_on_request_or_with_a_configured_stack(aws, tmp_path):
    for name in ("pyproject.toml", "cloud.toml", "uv.lock"):
        (tmp_path / name).write_text((ROOT / name).read_text())

    def checks(**asked):
        return {found.check for found in examine(tmp_path, PROBLEMS[0], **asked)}

    assert "credentials" not in checks()
    assert "credentials" not in checks(look_at_cloud=None)
    (tmp_path / "infra/bootstrap").mkdir(parents=True)
    (tmp_path / "infra/bootstrap/Pulumi.main.yaml").touch()
    assert "credentials" in checks(look_at_cloud=None)
    assert "credentials" not in checks(look_at_cloud=False)


def test_the_command_imports_nothing_of_aws_where_aws_is_not_looked_at():
    code = (
        "import sys; from pathlib import Path; from pipelines.doctor import examine; "
        f"examine(Path({str(ROOT)!r}), {PROBLEMS[0]!r}); print([n for n in ('boto3', 'yaml', 'botocore') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
