"""The GitHub side by plan: what is enforced, what is asked for in vain, and what is said about it."""

import json
import re
import tomllib

import pytest

from infra.bootstrap.github import not_enforced
from pipelines.config import UserError, load_toml
from pipelines.contracts import Cloud
from tests.docs.named import ROOT
from tests.infra.bootstrap_mocks import GITHUB, program, settings

pytestmark = pytest.mark.infra

ENVIRONMENT = "github:index/repositoryEnvironment:RepositoryEnvironment"
BRANCHES = "github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy"
BY_HAND = {"FEATURES_SINCE", "FULL_TESTS", "RATCHET_HOME", "RUNNER", "SCHEDULES"}
VARIABLE = "github:index/actionsEnvironmentVariable:ActionsEnvironmentVariable"
SHARED = "github:index/actionsVariable:ActionsVariable"
LABEL = "github:index/issueLabel:IssueLabel"
PROTECTION = "github:index/branchProtection:BranchProtection"


def plan(name, private=True, **more):
    return {"github": {**GITHUB, "plan": name, "private": private, **more}}


def test_environments_deploy_from_main_alone_even_for_admins(run_program):
    found = run_program(program())
    assert set(found.of(ENVIRONMENT)) == {"dev", "prod"}
    for environment in found.of(ENVIRONMENT).values():
        assert environment["deploymentBranchPolicy"] == {"protectedBranches": False, "customBranchPolicies": True}
        assert environment["canAdminsBypass"] is False
    assert {name: policy["branchPattern"] for name, policy in found.of(BRANCHES).items()} == {
        "dev": "main",
        "prod": "main",
    }


def test_workflows_get_their_environments_role_and_plans_get_theirs(run_program):
    found = run_program(program())
    told = {(one["environment"], one["variableName"]): one["value"] for one in found.of(VARIABLE).values()}
    assert told["dev", "AWS_ROLE"].endswith("fleet-deploy-dev")
    assert told["prod", "AWS_ROLE"].endswith("fleet-deploy-prod")
    assert (told["prod", "RATCHET_PROFILE"], told["prod", "RATCHET_ENVIRONMENT"]) == ("aws", "prod")
    assert told["prod", "PULUMI_BACKEND_URL"] == "s3://fleet-state-123456789012?region=eu-west-1"
    shared = {one["variableName"]: one["value"] for one in found.of(SHARED).values()}
    assert shared["AWS_PLAN_ROLE_PROD"].endswith("fleet-plan-prod")
    assert shared["AWS_CLOCK_ROLE_PROD"].endswith("fleet-clock-prod")
    assert not any("deploy" in value for value in shared.values())


def test_workflows_get_the_order_of_promotion(run_program):
    shared = {one["variableName"]: one["value"] for one in run_program(program()).of(SHARED).values()}
    assert json.loads(shared["ENVIRONMENTS"]) == list(load_toml(ROOT / "cloud.toml", Cloud).environments)


@pytest.mark.parametrize(
    ("given", "scanning", "attestations"),
    [
        (plan("team"), "false", "false"),
        (plan("team", code_security=True), "true", "false"),
        (plan("enterprise"), "false", "true"),
        (plan("free", private=False), "true", "true"),
    ],
)
def test_workflows_get_what_the_plan_offers(given, scanning, attestations, run_program):
    shared = {one["variableName"]: one["value"] for one in run_program(program(**given)).of(SHARED).values()}
    assert (shared["CODE_SCANNING"], shared["ATTESTATIONS"]) == (scanning, attestations)


def test_every_variable_of_the_workflows_is_set_by_code_or_a_person(run_program):
    found = run_program(program())
    told = {one["variableName"] for kind in (VARIABLE, SHARED) for one in found.of(kind).values()}
    text = "".join(path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))
    by_environment = {f"{name}_DEV" for name in re.findall(r"vars\[format\('([A-Z_]+)_\{0\}'", text)}
    assert set(re.findall(r"vars\.([A-Z_]+)", text)) | by_environment <= told | BY_HAND
    assert by_environment == {"AWS_CLOCK_ROLE_DEV", "AWS_PLAN_ROLE_DEV", "AWS_REGION_DEV", "PULUMI_BACKEND_URL_DEV"}


def test_labels_are_code(run_program):
    stated = tomllib.loads((ROOT / ".github/labels.toml").read_text())
    made = {one["name"]: one for one in run_program(program()).of(LABEL).values()}
    assert {name: {"color": one["color"], "description": one["description"]} for name, one in made.items()} == stated


def test_main_takes_only_what_its_owners_reviewed_and_its_checks_passed(run_program):
    (main,) = run_program(program()).of(PROTECTION).values()
    assert (main["pattern"], main["enforceAdmins"], main["allowsForcePushes"], main["allowsDeletions"]) == (
        "main",
        True,
        False,
        False,
    )
    assert main["requiredStatusChecks"] == [{"strict": False, "contexts": ["required checks"]}]
    (reviews,) = main["requiredPullRequestReviews"]
    assert reviews["requireCodeOwnerReviews"] and reviews["dismissStaleReviews"] and reviews["requireLastPushApproval"]


def test_a_private_repository_on_the_free_plan_is_refused():
    with pytest.raises(UserError, match="a private repository on the plan free has no environments"):
        settings(**plan("free"))


def test_one_person_can_merge_and_still_needs_the_checks(run_program):
    (main,) = run_program(program(**plan("team", alone=True))).of(PROTECTION).values()
    (reviews,) = main["requiredPullRequestReviews"]
    assert reviews["requiredApprovingReviewCount"] == 0
    assert not (reviews["requireCodeOwnerReviews"] or reviews["requireLastPushApproval"])
    assert main["requiredStatusChecks"][0]["contexts"] == ["required checks"]


def test_schedules_start_with_the_environments_that_are_up(run_program):
    def told(**given):
        return {one["variableName"]: one["value"] for one in run_program(program(**given)).of(SHARED).values()}

    assert "SCHEDULES" not in told()
    assert json.loads(told(scheduled=["dev"])["SCHEDULES"]) == ["dev"]


def test_reviewers_of_the_environment_that_trains_are_refused():
    with pytest.raises(UserError, match="'dev' trains, so reviewers would have to release each look"):
        settings(**plan("enterprise", reviewers=[7]), protected=["dev", "prod"])


def test_reviewers_protect_an_environment_where_the_plan_offers_it(run_program):
    found = run_program(program(**plan("enterprise", reviewers=[7])))
    assert found.of(ENVIRONMENT)["prod"]["reviewers"] == [{"teams": [7]}]
    assert found.of(ENVIRONMENT)["prod"]["preventSelfReview"] is True
    assert "reviewers" not in found.of(ENVIRONMENT)["dev"]


@pytest.mark.parametrize(("name", "private", "lines"), [("team", True, 2), ("enterprise", True, 0), ("free", False, 0)])
def test_what_the_plan_leaves_to_the_team_is_said(name, private, lines, run_program, caplog):
    left = not_enforced(settings(**plan(name, private)).github)
    assert len(left) == lines
    run_program(program(**plan(name, private)))
    assert [record.message for record in caplog.records if "does not enforce" in record.message] == [
        f"GitHub does not enforce {line}" for line in left
    ]


def test_the_docs_say_the_same():
    page = " ".join((ROOT / "docs/github.md").read_text().split())
    assert [line for line in not_enforced(settings(**plan("team")).github) if line not in page] == []
