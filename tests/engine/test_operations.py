"""What happens to stacks between updates, on the real engine: drift, kills, other projects, secrets, the workflows."""

import json
from dataclasses import replace

import pytest

from tests.engine.conftest import PROJECT, add_stack, check_out
from tests.infra.environments import STACKS

pytestmark = pytest.mark.engine


def make(engine, *arguments, code=0, **variables):
    """Run a target of the Makefile as a workflow does, and return what it said."""
    return engine.run(
        "env", *(f"{key}={value}" for key, value in variables.items()), "make", *arguments, within=".", code=code
    )


def clean(engine):
    """Say whether the checkout is as it was committed."""
    return not engine.run("git", "status", "--porcelain", within=".")


def test_drift_is_told_and_a_stack_without_it_has_none(environment):
    engine = environment("dev")
    make(engine, "infra-drift", ENV="dev")
    queue = next(engine.cloud.glob("sqs_queue_Queue@*"))
    kept = json.loads(queue.read_text())
    kept["inputs"]["messageRetentionSeconds"] = 60
    queue.write_text(json.dumps(kept))
    told = make(engine, "infra-drift", ENV="dev", REPORT="drift.md", code=2)
    assert "messageRetentionSeconds" in told
    assert "failed with" in (engine.checkout / "drift.md").read_text()


def test_what_somebody_deleted_is_told_and_made_anew(environment):
    engine = environment("dev")
    gone = next(engine.cloud.glob("cloudwatch_dashboard_Dashboard@*"))
    gone.unlink()
    assert "aws:cloudwatch/dashboard:Dashboard" in make(engine, "infra-drift", ENV="dev", code=2)
    engine.pulumi("refresh", "--yes", "--skip-preview", "--stack", "dev")
    make(engine, "infra-up", ENV="dev", IMAGE="")
    assert list(engine.cloud.glob("cloudwatch_dashboard_Dashboard@*"))  # by an id of its own


def test_the_workflows_commands_leave_the_checkout_as_it_was(environment):
    engine = environment("dev")
    told = make(engine, "infra-preview", ENV="dev", REPORT=str(engine.folder / "preview.md"))
    assert "unchanged" in told and "succeeded" in (engine.folder / "preview.md").read_text()
    make(engine, "infra-up", ENV="dev", IMAGE=f"sha256:{'c' * 64}")
    assert engine.pulumi("stack", "output", "image", "--stack", "dev").strip().endswith(f"@sha256:{'c' * 64}")
    assert "unchanged" in make(engine, "infra-preview", ENV="dev")  # which keeps the stack's image
    assert make(engine, "infra-expired").strip() == "environments=[]"
    assert make(engine, "infra-expired", CHOSEN="dev", AGAIN="dev").strip() == 'environments=["dev"]'
    make(engine, "infra-expired", CHOSEN="dev", AGAIN="prod", code=2)
    assert clean(engine)
    engine.run("python", "-m", "infra.tools.stack", "destroy", "dev", within=".")
    assert engine.things("dev") == [] and clean(engine)


def test_no_workflow_destroys_production(environment):
    engine = environment("prod")
    before = engine.remains()
    assert "prod is production" in make(engine, "infra-destroy", ENV="prod", code=2)
    assert engine.remains() == before


def test_three_environments_share_a_backend_and_none_touches_another(engine):
    for name in STACKS:
        add_stack(engine, name, letter="")
        engine.up(name)
    others = {name: engine.things(name) for name in STACKS if name != "dev"}
    engine.pulumi("destroy", "--yes", "--skip-preview", "--stack", "dev")
    assert engine.things("dev") == []
    assert {name: engine.things(name) for name in others} == others
    assert len(engine.remains()) == sum(map(len, others.values()))
    engine.up("prod", "--expect-no-changes")


def another_project(engine, name):
    """Return the engine on a checkout of another project in the same account, with a backend of its own."""
    checkout = check_out(engine.folder / name)
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace(f'name = "{PROJECT}"', f'name = "{name}"', 1))
    (engine.folder / f"state-of-{name}").mkdir()
    place = {"PULUMI_BACKEND_URL": f"file://{engine.folder}/state-of-{name}", "PYTHONPATH": str(checkout)}
    return replace(engine, checkout=checkout, environ={**engine.environ, **place})


def test_two_projects_share_an_account_and_none_touches_the_other(engine):
    second = another_project(engine, "second-project")
    for one in (engine, second):
        add_stack(one, "dev", letter="")
        one.up("dev")
    assert len(engine.remains()) == len(engine.things("dev")) + len(second.things("dev"))
    second.pulumi("destroy", "--yes", "--skip-preview", "--stack", "dev")
    assert len(engine.remains()) == len(engine.things("dev"))
    engine.up("dev", "--expect-no-changes")
    lost = replace(second, environ={**second.environ, "PULUMI_BACKEND_URL": engine.variables["PULUMI_BACKEND_URL"]})
    assert "already exists" in lost.pulumi("stack", "init", "dev", code=None)


def test_a_setting_that_somebody_encrypted_reaches_no_state_in_plain_text(engine):
    add_stack(engine, "dev", letter="")
    address = "somebody@example.org"
    engine.pulumi("config", "set", "--secret", "infra:contacts", f'["{address}"]', "--stack", "dev")
    assert "infra:contacts is encrypted, but no setting" in engine.up("dev", code=1)
    files = [file for file in (engine.folder / "state").rglob("*") if file.is_file()]
    assert files and not [file for file in files if address in file.read_text(errors="replace")]
