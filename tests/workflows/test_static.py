"""What every workflow keeps to, on the YAML: act knows nothing of permissions, environments and concurrency."""

import re
import tomllib

import pytest
import typer.main
import yaml

from infra.bootstrap.github import REQUIRED_CHECK
from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import app
from tests.docs.named import JUDGED, missing
from tests.workflows.documents import (
    ACTIONS,
    DOCUMENTS,
    GITHUB,
    JOBS,
    ROOT,
    STEPS,
    USES,
    WORKFLOWS,
    Job,
    by_stem,
    runs_on_schedule,
    table,
    triggers,
)

PAGE = (ROOT / "docs/workflows.md").read_text()
CREDENTIALS = "aws-actions/configure-aws-credentials"
PROVENANCE = "actions/attest-build-provenance"
PLAN_ROLE = "${{ vars[format('AWS_PLAN_ROLE_{0}', matrix.suffix)] }}"
CLOCK_ROLE = "${{ vars[format('AWS_CLOCK_ROLE_{0}', inputs.environment)] }}"
OWN_RUNNER = "vars.RUNNER || 'ubuntu-24.04' }}"
OF_ENVIRONMENTS = {"AWS_ROLE", "AWS_REGION", "PULUMI_BACKEND_URL", "RATCHET_ENVIRONMENT", "RATCHET_PROFILE"}
BEFORE_THE_RUNNER = ("if", "strategy", "environment", "concurrency", "runs-on", "uses", "with", "needs")
"""What GitHub evaluates before a job reaches a runner, and so before a variable of an environment is there:
https://docs.github.com/en/actions/reference/workflows-and-actions/variables#configuration-variable-precedence."""
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in WORKFLOWS + ACTIONS}
PINNED = [(name, *found) for name, text in TEXTS.items() for found in USES.findall(text) if found[0][0] != "."]
LABELS = tomllib.loads((GITHUB / "labels.toml").read_text())
UPDATES = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
COMMAND = re.compile(
    r'(make|uv run (--no-sync|--frozen --no-default-groups --group model --extra aws) mlops)( [-\w."$/]+)+( >> "\$GITHUB_OUTPUT")?'
)
of_job = pytest.mark.parametrize("job", JOBS, ids=str)
of_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


# ---- permissions ---------------------------------------------------------------------------------------------------


def test_the_permissions_of_each_job_are_those_that_the_docs_list():
    listed = {(row[0], row[1]): {one for one in row[2].split(", ") if one} for row in table(PAGE, "Permissions")}
    stated = {(f"`{job.workflow}.yml`", f"`{job.name}`"): {f"`{one}`" for one in job.permissions} for job in JOBS}
    assert stated == listed


@of_workflow
def test_a_workflow_has_no_permission_but_its_jobs(path):
    assert DOCUMENTS[f"workflows/{path.name}"]["permissions"] == {}


@of_job
def test_a_job_that_may_ask_for_a_token_uses_it_and_no_other_may(job):
    asks = bool(job.actions & {CREDENTIALS, PROVENANCE}) or job.document.get("uses", "").endswith("_up.yml")
    asks = asks or any(step.get("run") == "make clock" for step in job.steps)
    assert ("id-token: write" in job.permissions) == asks


def test_no_stored_secret_is_named_anywhere():
    assert [name for name, text in TEXTS.items() if re.search(r"secrets[.\[]|aws-(secret-)?access-key", text)] == []


@of_job
def test_deploy_roles_are_of_environments_and_plan_roles_of_none(job):
    for step in job.steps:
        if step.get("uses", "").startswith(CREDENTIALS):
            by_hand = CLOCK_ROLE if job.workflow == "rollback" else PLAN_ROLE
            expected = "${{ vars.AWS_ROLE }}" if "environment" in job.document else by_hand
            assert step["with"]["role-to-assume"] == expected


def test_a_commit_that_nobody_reviewed_reaches_no_environment():
    assert [str(job) for job in JOBS if job.workflow == "ci" and "environment" in job.document] == []
    assert [path.stem for path in WORKFLOWS if "pull_request" in triggers(path)] == ["ci"]


def test_what_may_write_on_a_pull_request_runs_the_code_of_main():
    (job,) = (job for job in JOBS if job.workflow == "ci" and "pull-requests: write" in job.permissions)
    (checkout,) = (step for step in job.steps if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "id-token: write" not in job.permissions


# ---- what is run ---------------------------------------------------------------------------------------------------


@of_workflow
def test_no_workflow_runs_on_what_a_stranger_starts_with_rights(path):
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers(path))


@pytest.mark.parametrize(("where", "step"), [(w, s) for w, s in STEPS if "run" in s], ids=lambda one: str(one)[:60])
def test_each_step_is_one_command_that_a_person_can_run_too(where, step):
    assert "${{" not in step["run"], "inputs reach a command by env, where no shell reads them"
    assert COMMAND.fullmatch(step["run"]), where
    assert missing(f"`{re.sub(' >>.*|^uv run .*(?=mlops )', '', step['run'])}`") == []


@pytest.mark.parametrize(("name", "action", "sha", "version"), PINNED)
def test_each_action_is_pinned_by_its_whole_sha_with_its_version(name, action, sha, version):
    assert re.fullmatch(r"[0-9a-f]{40}", sha), f"{name}: {action}"
    assert re.fullmatch(r"v\d+\.\d+\.\d+", version), f"{name}: {action}"


@of_job
def test_a_job_with_rights_installs_what_it_needs_from_the_lock_alone(job):
    if any(one.endswith("write") for one in job.permissions):
        for step in job.steps:
            if step.get("uses") == "./.github/actions/setup":
                assert step["with"]["cache"] == "false", "a cache that jobs of pull requests fill too"
                groups = set(step["with"]["groups"].split())
                assert groups and groups <= {"none", "infra", "model"}, "no job with rights needs what developers have"


def test_uv_has_one_version_wherever_it_is_installed():
    pins = re.findall(r'setup-uv@.*\n +with:\n +version: "(.+)"', "".join(TEXTS.values()))
    image, local = (re.findall(r"uv==([\d.]+)", (ROOT / name).read_text()) for name in ("Dockerfile", "Makefile"))
    assert len(pins) == "".join(TEXTS.values()).count("setup-uv@")
    assert {*pins, *local} == set(image)


def test_the_base_image_stands_in_a_from_that_dependabot_reads():
    """It resolves no ARG: https://github.com/dependabot/dependabot-core, docker/lib/dependabot/docker/file_parser.rb."""
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    base = next(words[1] for words in lines if words and words[0] == "ARG").partition("=")[2]
    stages = {words[3]: words[1] for words in lines if words and words[0] == "FROM"}
    assert base in stages, "the default is a stage, whose image is named where it stands"
    images = {image for image in stages.values() if image not in {*stages, "scratch", "${BASE}"}}
    assert len(images) == 1
    assert re.fullmatch(r"[a-z/]+:[\w.-]+(@sha256:[0-9a-f]{64})?", images.pop())


def test_a_newer_pin_of_an_action_needs_no_change_elsewhere():
    """A pull request of Dependabot changes workflows alone, and would fail where another file repeats them."""
    pins = {text for _, _, sha, version in PINNED for text in (sha, f"# {version}")}
    others = [name for name in JUDGED if not name.startswith(".github/") and not name.endswith((".png", ".lock"))]
    assert [name for name in others if any(pin in (ROOT / name).read_text() for pin in pins)] == []


def test_there_is_one_pin_of_each_action():
    used = {("/".join(action.split("/")[:2]), sha, version) for _, action, sha, version in PINNED}
    assert len({action for action, _, _ in used}) == len(used)


def test_dependabot_updates_every_place_with_pins():
    by_kind = {one["package-ecosystem"]: one for one in UPDATES}
    assert set(by_kind) == {"github-actions", "uv", "docker"}
    assert by_kind["github-actions"]["directories"] == ["/", "/.github/actions/*"]
    assert {path.parent.parent for path in ACTIONS} == {GITHUB / "actions"}
    assert all(one["groups"] and one["schedule"]["interval"] == "weekly" for one in UPDATES)


@pytest.mark.parametrize(("where", "step"), [(w, s) for w, s in STEPS if "actions/checkout" in s.get("uses", "")])
def test_a_checkout_leaves_no_token_behind(where, step):
    assert step["with"]["persist-credentials"] is False, where


# ---- where and when ------------------------------------------------------------------------------------------------


@of_job
def test_each_job_says_where_it_runs_and_when_it_is_given_up(job):
    if "uses" not in job.document:
        assert job.document["runs-on"] == "ubuntu-24.04" or job.document["runs-on"].endswith(OWN_RUNNER)
        assert job.document["timeout-minutes"] > 0


@of_job
def test_a_job_that_needs_the_state_runs_where_it_is(job):
    commands = " ".join(step.get("run", "") for step in job.steps)
    needs = re.search(r"mlops (drain|deploy|rollback|github approve|release check)", commands)
    duties = {step.get("env", {}).get("DUTY") for step in job.steps} - {None, "drift"}
    assert bool(needs or duties) == job.document.get("runs-on", "").endswith(OWN_RUNNER)
    assert not (needs or duties) or "vars.RATCHET_HOME" in str(job.document)


def test_a_fork_does_not_run_on_the_teams_own_runner():
    (job,) = (job for job in JOBS if job.workflow == "ci" and OWN_RUNNER in str(job.document.get("runs-on")))
    assert job.document["runs-on"] == "${{ !github.event.pull_request.head.repo.fork && " + OWN_RUNNER


@of_workflow
def test_only_checks_are_cancelled_by_what_supersedes_them(path):
    assert ("cancel-in-progress: true" in path.read_text()) == (path.stem == "ci")


def test_each_commit_of_main_is_checked_and_of_a_branch_the_latest():
    group = DOCUMENTS["workflows/ci.yml"]["concurrency"]["group"]
    assert group == "ci-${{ github.ref == 'refs/heads/main' && github.sha || github.ref }}"


@pytest.mark.parametrize("name", ["_up up", "delivery image", "teardown chosen"])
def test_what_is_started_by_hand_changes_aws_from_main_alone(name):
    (job,) = (job for job in JOBS if str(job) == name)
    assert "github.ref == 'refs/heads/main'" in job.document["if"]


def test_environments_are_brought_up_one_after_the_other():
    jobs = DOCUMENTS["workflows/infra.yml"]["jobs"]
    assert (jobs["staging"]["needs"], jobs["prod"]["needs"]) == ("dev", ["dev", "staging"])
    assert "!failure() && !cancelled()" in jobs["prod"]["if"]


def test_an_image_that_should_be_attested_and_is_not_is_not_deployed():
    dev = DOCUMENTS["workflows/delivery.yml"]["jobs"]["dev"]
    assert dev["needs"] == ["image", "attest"]
    assert "!failure()" in dev["if"] and "needs.image.result == 'success'" in dev["if"]


def test_each_trigger_is_listed_in_the_docs():
    listed = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in table(PAGE, "What starts what")}
    assert listed == {path.name: set(triggers(path)) for path in WORKFLOWS}


def test_the_required_check_waits_for_every_other_job_of_ci():
    jobs = DOCUMENTS["workflows/ci.yml"]["jobs"]
    assert jobs["required"]["name"] == REQUIRED_CHECK
    assert set(jobs["required"]["needs"]) == set(jobs) - {"required", "status", "packages"}
    assert jobs["required"]["if"] == "always()"


@of_job
def test_what_is_decided_before_the_runner_sees_no_environments_variable(job):
    text = str({name: value for name, value in job.document.items() if name in BEFORE_THE_RUNNER})
    assert not OF_ENVIRONMENTS & set(re.findall(r"vars\.(\w+)", text))


def test_a_condition_on_a_variable_of_an_environment_is_found():
    planted = Job("delivery", "features", {"if": "vars.AWS_ROLE != ''"})
    with pytest.raises(AssertionError):
        test_what_is_decided_before_the_runner_sees_no_environments_variable(planted)


@of_workflow
def test_a_run_with_something_of_its_own_is_not_replaced_while_it_waits(path):
    """A group holds one pending run, and a newer takes its place unless they queue.

    https://github.blog/changelog/2026-05-07-github-actions-concurrency-groups-now-allow-larger-queues
    """
    document = DOCUMENTS[f"workflows/{path.name}"]
    groups = [one["concurrency"] for one in (document, *document["jobs"].values()) if "concurrency" in one]
    newest_is_enough = path.stem in {"ci", "infra", "release"}
    assert [group for group in groups if (group.get("queue") == "max") == newest_is_enough] == []


@pytest.mark.parametrize("job", [job for job in JOBS if "schedule" in triggers(by_stem(job.workflow))], ids=str)
def test_the_clockwork_waits_for_no_reviewer_and_deploys_nothing(job):
    environment = job.document.get("environment")
    on_schedule = runs_on_schedule(job)
    destroys = str(job) == "teardown destroy"  # of environments that are no production
    assert not on_schedule or destroys or environment is None or environment.get("deployment") is False


@pytest.mark.parametrize("job", [job for job in JOBS if "schedule" in triggers(by_stem(job.workflow))], ids=str)
def test_a_schedule_does_nothing_until_an_environment_is_up(job):
    if runs_on_schedule(job) and "needs" not in job.document:
        assert "SCHEDULES" in job.document["if"]


def test_a_deployment_is_a_deployment():
    told = {str(job) for job in JOBS if isinstance(job.document.get("environment"), str)}
    assert told == {"_up up", "promote deploy", "teardown destroy"}


# ---- what people meet ----------------------------------------------------------------------------------------------


def test_each_label_that_is_named_is_one_of_the_repository():
    forms = [yaml.safe_load(path.read_text()) for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml")]
    named = {label for one in [*forms, *UPDATES] for label in one.get("labels", ())}
    named |= set(re.findall(r"--label ([a-z]+)", (GITHUB / "workflows.mk").read_text()))
    assert named and named <= set(LABELS)


def test_releases_have_owners_of_their_own_whom_no_later_line_overrides():
    lines = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
    assert lines[-1][0] == "/releases/"
    assert {"/.github/", "/infra/"} <= {line[0] for line in lines}


def test_rollback_takes_the_options_that_its_workflow_gives_it():
    (job,) = (job for job in JOBS if job.workflow == "rollback")
    (step,) = (step for step in job.steps if "mlops rollback" in step.get("run", ""))
    given = re.findall(r"'(--[a-z-]+)'", step["env"]["CHAMPION"])
    (option,) = (one for one in typer.main.get_command(app).commands["rollback"].params if one.name == "champion_out")
    assert given == [*option.opts, *option.secondary_opts]
