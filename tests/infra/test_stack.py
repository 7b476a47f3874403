"""How a stack is moved: what Pulumi is asked for, which image, what people read. Pulumi is a stand-in on the path."""

import json
import os
import subprocess
import sys
from datetime import date

import pytest
import yaml

from infra.program import ROOT
from infra.tools import stack
from pipelines.config import Refused, UserError
from tests.infra.environments import ACCOUNT, REGION

pytestmark = pytest.mark.infra
DIGEST = f"sha256:{'d' * 64}"
PRESENT = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/thing@sha256:{'e' * 64}"
PULUMI = f"""\
#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["stack", "output"]:
    print(os.environ["OUTPUTS"])
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
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def last(calls):
    return " ".join(calls()[-1])


def test_an_update_keeps_the_stacks_image_and_meets_the_policies(pulumi):
    assert stack.move("up", "dev", "").returncode == 0
    assert last(pulumi) == (
        f"up --yes --policy-pack policies --config infra:image={PRESENT} --stack dev --non-interactive --color never"
    )


def test_an_update_takes_the_image_that_it_is_reported(pulumi):
    stack.move("up", "dev", DIGEST)
    assert f"infra:image={ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/" in last(pulumi)
    assert f"@{DIGEST} " in last(pulumi)


def test_an_update_takes_the_image_of_the_release_file(pulumi):
    text = f'image = "{DIGEST}"\nrequest_schema = "{"b" * 64}"\n[feature_views]\n[strategy]\n'
    text += f'kind = "all-at-once"\n[champion]\nmodel = "{"a" * 64}"\nversion = 1\n'
    (stack.ROOT / "releases/prod.toml").write_text(text)
    stack.move("up", "prod", stack.RELEASE)
    assert f"@{DIGEST} " in last(pulumi)


def test_a_stack_without_an_image_gets_none(pulumi, monkeypatch):
    monkeypatch.setenv("OUTPUTS", "{}")
    stack.move("preview", "dev", "")
    assert "--config" not in last(pulumi)


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
        stack.pulumi("dev", "up")


def test_the_command_ends_as_pulumi_does_and_leaves_its_report(pulumi, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CODE", "3")
    monkeypatch.setattr(sys, "argv", ["stack", "preview", "dev", "--report", str(tmp_path / "report.md")])
    assert stack.main() == 3
    assert "failed with 3" in (tmp_path / "report.md").read_text()
    assert "+ aws:sqs:Queue" in capsys.readouterr().out
