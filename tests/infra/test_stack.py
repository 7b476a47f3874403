"""How a stack is moved: what Pulumi is asked for, which image, what people read. Pulumi is a stand-in on the path."""

import json
import os
import subprocess
import sys
from datetime import date

import boto3
import pytest
import yaml
from moto import mock_aws

from infra.program import ROOT
from infra.tools import stack
from pipelines.config import Refused, UserError
from tests.infra.environments import ACCOUNT, REGION

pytestmark = pytest.mark.infra
DIGEST = f"sha256:{'d' * 64}"
PRESENT = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/thing@sha256:{'e' * 64}"
PULUMI = f"""\
#!{sys.executable}
import json, os, shutil, sys
if "--config-file" in sys.argv:  # as the CLI does, it writes there what it is told
    file = sys.argv.pop(at := sys.argv.index("--config-file") + 1)
    sys.argv.pop(at - 1)
    shutil.copy(file, os.environ["CALLS"] + ".yaml")
    with open(file, "a") as config:
        config.write("# written\\n")
    assert sys.argv[1] in {{"up", "preview", "destroy"}}, "unknown flag: --config-file"
elif sys.argv[1] != "stack":
    raise SystemExit("the file of the checkout would be written")
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["stack", "output"]:
    print(os.environ["OUTPUTS"])
    raise SystemExit
if sys.argv[1:3] == ["stack", "export"]:
    print(os.environ["STATE"])
    raise SystemExit
print("+ aws:sqs:Queue events create")
print("error: no changes were expected but changes were proposed" if "--expect-no-changes" in sys.argv else "done")
raise SystemExit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def pulumi(tmp_path, monkeypatch):
    """A stand-in for the program ``pulumi`` that keeps what it is asked for; and a repository of its own files."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/pulumi"
    program.write_text(PULUMI)
    program.chmod(0o755)
    for name, text in {"PATH": f"{program.parent}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("OUTPUTS", json.dumps({"image": PRESENT}))
    monkeypatch.setenv("STATE", json.dumps({"version": 3, "deployment": {}}))
    here = tmp_path / "here"
    for name in ("infra", "releases"):
        (here / name).mkdir(parents=True)
    for name in ("pyproject.toml", "cloud.toml", *(f"infra/Pulumi.{one}.yaml" for one in ("dev", "staging", "prod"))):
        document = (ROOT / name).read_text()
        (here / name).write_text(document.replace("config:", f'config:\n  infra:account: "{ACCOUNT}"', 1))
    monkeypatch.setattr(stack, "ROOT", here)
    for name in ("stated", "wanted"):
        known = getattr(stack, name)
        monkeypatch.setattr(stack, name, lambda *given, known=known: known(*given, root=here))
    yield lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert not [path for path in (here / "infra").iterdir() if "# written" in path.read_text()]


def scaled(instance):
    """Return the state of a stack whose endpoint of this instance type scales."""
    target = {"type": stack.SCALABLE, "urn": "t", "inputs": {"resourceId": "endpoint/thing-staging/variant/app"}}
    kind = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
    serves = {"type": kind, "urn": "c", "inputs": {"productionVariants": [{"instanceType": instance}]}}
    before = {**serves, "delete": True, "inputs": {"productionVariants": [{"instanceType": "ml.t2.medium"}]}}
    return json.dumps({"version": 3, "deployment": {"resources": [target, before, serves]}})


@pytest.fixture
def scaling(monkeypatch):
    """Application Auto Scaling on an emulator, in which the endpoint is registered."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("application-autoscaling", region_name=REGION)
        client.register_scalable_target(
            ServiceNamespace="sagemaker",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            ResourceId="endpoint/thing-staging/variant/app",
            MinCapacity=1,
            MaxCapacity=2,
        )
        yield lambda: client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def last(calls):
    return " ".join(calls()[-1])


def config(tmp_path):
    """Return the configuration that Pulumi was given last."""
    return yaml.safe_load((tmp_path / "calls.yaml").read_text())["config"]


def test_scaling_goes_before_the_instances_change_and_comes_back(pulumi, scaling, monkeypatch):
    monkeypatch.setenv("STATE", scaled("ml.m5.xlarge"))  # where staging's file says ml.m5.large
    stack.move("up", "staging", "")
    assert scaling() == []
    assert "up --yes --refresh --policy-pack" in last(pulumi)


def test_scaling_stays_while_the_instances_stay(pulumi, scaling, monkeypatch):
    monkeypatch.setenv("STATE", scaled("ml.m5.large"))
    stack.move("up", "staging", "")
    assert len(scaling()) == 1
    assert "--refresh" not in last(pulumi)
    monkeypatch.setenv("STATE", scaled("ml.m5.xlarge"))
    stack.move("preview", "staging", "")  # changes nothing, so it takes nothing away
    assert len(scaling()) == 1


def test_an_update_keeps_the_stacks_image_and_meets_the_policies(pulumi, tmp_path):
    assert stack.move("up", "dev", "").returncode == 0
    assert last(pulumi) == "up --yes --policy-pack policies --stack dev --non-interactive --color never"
    assert config(tmp_path)["infra:image"] == PRESENT


def test_an_update_takes_the_image_that_it_is_reported(pulumi, tmp_path):
    stack.move("up", "dev", DIGEST)
    assert config(tmp_path)["infra:image"].startswith(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/")
    assert config(tmp_path)["infra:image"].endswith(f"@{DIGEST}")


def test_an_update_changes_no_other_setting_and_no_file_of_the_checkout(pulumi, tmp_path):
    before = (stack.ROOT / "infra/Pulumi.dev.yaml").read_text()
    stack.move("up", "dev", DIGEST)
    given = config(tmp_path)
    given.pop("infra:image")
    assert given == yaml.safe_load(before)["config"]
    assert given["infra:account"] == ACCOUNT and given["infra:budget_percent"] == 10
    assert (stack.ROOT / "infra/Pulumi.dev.yaml").read_text() == before


def test_an_update_takes_the_image_of_the_release_file(pulumi, tmp_path):
    text = f'image = "{DIGEST}"\nrequest_schema = "{"b" * 64}"\n[feature_views]\n[strategy]\n'
    text += f'kind = "all-at-once"\n[champion]\nmodel = "{"a" * 64}"\nversion = 1\n'
    (stack.ROOT / "releases/prod.toml").write_text(text)
    stack.move("up", "prod", stack.RELEASE)
    assert config(tmp_path)["infra:image"].endswith(f"@{DIGEST}")


def test_a_stack_without_an_image_gets_none(pulumi, monkeypatch, tmp_path):
    monkeypatch.setenv("OUTPUTS", "{}")
    stack.move("preview", "dev", "")
    assert "infra:image" not in config(tmp_path)


def test_a_preview_changes_nothing_and_its_report_is_for_people(pulumi):
    done = stack.move("preview", "dev", "")
    assert last(pulumi).startswith("preview --diff --policy-pack policies ")
    told = stack.report("preview", "dev", done)
    assert told.startswith("### `preview` of dev succeeded")
    assert "+ aws:sqs:Queue events create" in told


def test_drift_is_looked_for_in_what_is_there_and_fails(pulumi, monkeypatch):
    monkeypatch.setenv("CODE", "255")
    done = stack.move("drift", "dev", "")
    assert last(pulumi).startswith("preview --diff --refresh --expect-no-changes ")
    assert done.returncode == 255
    assert "failed with 255" in stack.report("drift", "dev", done)


def test_a_report_quotes_any_output_and_keeps_the_end_of_a_long_one():
    told = stack.report(
        "up", "dev", subprocess.CompletedProcess([], 0, "x" * 70_000 + "\n" + "~" * 40 + "\nthe summary")
    )
    assert len(told) < 65_536
    fence = told[told.index("~~~") :].split("diff")[0]
    assert told.count(fence) == 2
    assert "the summary" in told


def test_production_is_never_destroyed_by_a_workflow(pulumi, tmp_path):
    with pytest.raises(Refused, match="prod is production"):
        stack.move("destroy", "prod", "")
    assert not (tmp_path / "calls").exists()


def test_what_is_no_production_is(pulumi):
    stack.move("destroy", "staging", "")
    assert last(pulumi).startswith("destroy --yes --refresh ")


def test_what_is_protected_stops_a_destruction_before_anything_goes(pulumi, monkeypatch):
    urn = "urn:pulumi:staging::infra::aws:s3/bucket:Bucket::store"
    resources = [{"urn": urn, "protect": True}, {"urn": f"{urn}-logs", "protect": False}, {"urn": f"{urn}-more"}]
    monkeypatch.setenv("STATE", json.dumps({"version": 3, "deployment": {"resources": resources}}))
    with pytest.raises(Refused, match=f"staging holds 1 protected resources, and nothing was deleted: {urn}\\."):
        stack.move("destroy", "staging", "")
    assert "destroy" not in {call[0] for call in pulumi()}


def test_what_expires_is_listed_from_its_day_on(pulumi):
    path = stack.ROOT / "infra/Pulumi.staging.yaml"
    document = yaml.safe_load(path.read_text())
    document["config"]["infra:expires"] = "2026-12-01"
    path.write_text(yaml.safe_dump(document))
    assert stack.expired(date(2026, 11, 30)) == []
    assert stack.expired(date(2026, 12, 1)) == ["staging"]


def test_who_destroys_by_hand_says_so_twice():
    assert stack.chosen("staging", "staging") == ["staging"]
    with pytest.raises(UserError, match="give the environment's name once more"):
        stack.chosen("staging", "dev")


def test_without_pulumi_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="pulumi is not on the path"):
        stack.pulumi("dev", "up", config={})


def test_the_command_ends_as_pulumi_does_and_leaves_its_report(pulumi, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CODE", "3")
    monkeypatch.setattr(sys, "argv", ["stack", "preview", "dev", "--report", str(tmp_path / "report.md")])
    assert stack.main() == 3
    assert "failed with 3" in (tmp_path / "report.md").read_text()
    assert "+ aws:sqs:Queue" in capsys.readouterr().out
