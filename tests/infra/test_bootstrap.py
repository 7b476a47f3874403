"""What the bootstrap registers: names, encryption, trust byte by byte; twice the same, twice side by side."""

import json
import re
import warnings

import pytest
import yaml

from infra.bootstrap.permissions.documents import MANAGED_POLICY_LIMIT
from infra.bootstrap.scope import Home, shortened
from infra.bootstrap.settings import BootstrapSettings
from infra.program import ROOT
from pipelines.config import UserError
from pipelines.contracts.setup import Setup
from tests.infra.bootstrap_mocks import ACCOUNT, ATTACHED, GITHUB, PEOPLE, POLICY, ROLE, program, settings, trust_of

pytestmark = pytest.mark.infra

CLAIMS = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{CLAIMS}"
DEPLOY_DEV = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"'
    + PROVIDER
    + '"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{'
    f'"{CLAIMS}:aud":"sts.amazonaws.com","{CLAIMS}:repository_id":"4711",'
    f'"{CLAIMS}:sub":"repo:acme@42/fleet@4711:environment:dev","{CLAIMS}:ref":"refs/heads/main"'
    "}}}]}"
)
PLAN_DEV = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"'
    + PROVIDER
    + '"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{'
    f'"{CLAIMS}:aud":"sts.amazonaws.com","{CLAIMS}:repository_id":"4711",'
    f'"{CLAIMS}:sub":["repo:acme@42/fleet@4711:pull_request","repo:acme@42/fleet@4711:ref:refs/heads/main",'
    '"repo:acme@42/fleet@4711:ref:refs/heads/promote/dev","repo:acme@42/fleet@4711:ref:refs/heads/revert/dev"]'
    "}}}]}"
)


@pytest.fixture(scope="module")
def registered(run_program):
    return run_program(program(roles=PEOPLE))


def takes(trust, **claims):
    """Whether a trust policy takes a token of GitHub: each of its conditions is an equality."""
    (statement,) = json.loads(trust)["Statement"]
    assert list(statement["Condition"]) == ["StringEquals"]
    wanted = statement["Condition"]["StringEquals"].items()
    return all(
        claims.get(key.removeprefix(f"{CLAIMS}:")) in ([value] if isinstance(value, str) else value)
        for key, value in wanted
    )


def token(**changes):
    ours = {"aud": "sts.amazonaws.com", "repository_id": "4711", "ref": "refs/heads/main"}
    return {**ours, "sub": "repo:acme@42/fleet@4711:environment:dev", **changes}


def test_the_trust_of_each_workflow_role_byte_by_byte(registered):
    assert trust_of(registered, "fleet-deploy-dev") == DEPLOY_DEV
    assert trust_of(registered, "fleet-deploy-prod") == DEPLOY_DEV.replace("environment:dev", "environment:prod")
    assert trust_of(registered, "fleet-plan-dev") == PLAN_DEV
    assert trust_of(registered, "fleet-plan-prod") == PLAN_DEV.replace("/dev", "/prod")


def test_a_job_of_the_environment_on_the_main_branch_deploys(registered):
    assert takes(trust_of(registered, "fleet-deploy-dev"), **token())


@pytest.mark.parametrize(
    "forged",
    [
        {"ref": "refs/heads/feature"},
        {"ref": None},
        {"sub": "repo:acme@42/fleet@4711:environment:prod"},
        {"sub": "repo:acme@42/fleet@4711:pull_request"},
        {"sub": "repo:acme@42/fleet@4711:ref:refs/heads/main"},
        {"sub": "repo:acme/fleet:environment:dev"},
        {"sub": "repo:acme@43/fleet@4711:environment:dev"},
        {"sub": "repo:evil@1/x@2:environment:repo:acme@42/fleet@4711:environment:dev"},
        {"repository_id": "4712"},
        {"aud": "https://github.com/acme"},
    ],
)
def test_any_other_token_does_not(registered, forged):
    assert not takes(trust_of(registered, "fleet-deploy-dev"), **token(**forged))


def test_a_pull_request_plans_and_an_environment_does_not(registered):
    plan = trust_of(registered, "fleet-plan-prod")
    assert takes(plan, **token(sub="repo:acme@42/fleet@4711:pull_request", ref="refs/pull/7/merge"))
    assert not takes(plan, **token())
    assert not takes(plan, **token(sub="repo:fork@9/fleet@9:pull_request", repository_id="9"))


def test_the_branch_of_a_promotion_is_checked_by_its_own_environments_role(registered):
    plan, branch = trust_of(registered, "fleet-plan-prod"), "repo:acme@42/fleet@4711:ref:refs/heads/"
    assert takes(plan, **token(sub=f"{branch}promote/prod"))
    assert takes(plan, **token(sub=f"{branch}revert/prod"))
    assert not takes(plan, **token(sub=f"{branch}promote/dev"))
    assert not takes(plan, **token(sub=f"{branch}feature"))


def test_the_clockwork_needs_main_and_no_environment(registered):
    clock, main = trust_of(registered, "fleet-clock-prod"), "repo:acme@42/fleet@4711:ref:refs/heads/main"
    assert takes(clock, **token(sub=main))
    assert not takes(clock, **token(sub="repo:acme@42/fleet@4711:environment:prod"))
    assert not takes(clock, **token(sub="repo:acme@42/fleet@4711:pull_request"))
    assert not takes(clock, **token(sub=main.replace("main", "feature")))


def test_the_form_of_names_is_still_bound_to_the_repositorys_number(run_program):
    found = run_program(program(github={**GITHUB, "immutable_subject": False}))
    trust = trust_of(found, "fleet-deploy-dev")
    assert takes(trust, **token(sub="repo:acme/fleet:environment:dev"))
    assert not takes(trust, **token(sub="repo:acme/fleet:environment:dev", repository_id="1"))


def test_people_need_a_second_factor_unless_their_sign_in_asked_for_it(registered, run_program):
    assert json.loads(trust_of(registered, "fleet-engineer"))["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]},
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
        }
    ]
    without = run_program(program(roles={**PEOPLE, "mfa": False}))
    assert "Condition" not in trust_of(without, "fleet-approver")


def test_the_state_is_encrypted_versioned_private_and_kept(registered):
    (bucket,) = registered.of("aws:s3/bucket:Bucket").values()
    assert bucket["bucket"] == f"fleet-state-{ACCOUNT}"
    (encryption,) = registered.of(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    ).values()
    (rule,) = encryption["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": "arn:aws:kms/key:Key:state",
    }
    (versions,) = registered.of("aws:s3/bucketVersioning:BucketVersioning").values()
    assert versions["versioningConfiguration"] == {"status": "Enabled"}
    (block,) = registered.of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").values()
    assert [
        block[key] for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    ] == [True] * 4
    (policy,) = registered.of("aws:s3/bucketPolicy:BucketPolicy").values()
    assert json.loads(policy["policy"])["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (key,) = registered.of("aws:kms/key:Key").values()
    assert key["enableKeyRotation"]
    kinds = {kind.split(":")[-1] for kind, _ in registered.kept}
    assert kinds == {"Bucket", "Key", "Parameter", "Repository", "OpenIdConnectProvider"}


def test_an_image_is_never_moved_and_always_scanned(registered):
    (images,) = registered.of("aws:ecr/repository:Repository").values()
    assert (images["name"], images["imageTagMutability"]) == ("fleet", "IMMUTABLE")
    assert images["imageScanningConfiguration"] == {"scanOnPush": True}


def test_the_account_is_the_stated_one_or_nothing_is_done(registered):
    (provider,) = registered.of("pulumi:providers:aws").values()
    assert json.loads(provider["allowedAccountIds"]) == [ACCOUNT]


def test_stacks_and_the_doctor_find_what_was_made(registered):
    (parameter,) = registered.of("aws:ssm/parameter:Parameter").values()
    assert parameter["name"] == "/fleet/bootstrap"
    found = Setup.from_json(parameter["value"]["value"])  # wrapped: the provider takes every value for a secret
    assert found.state == f"s3://fleet-state-{ACCOUNT}?region=eu-west-1"
    assert found.secrets == "awskms://alias/fleet-state?region=eu-west-1"
    assert found.environments["prod"].boundary == f"arn:aws:iam::{ACCOUNT}:policy/fleet-boundary-prod"


def test_a_second_run_registers_the_same(registered, run_program):
    assert run_program(program(roles=PEOPLE)).resources == registered.resources


def test_an_account_that_has_the_identity_provider_keeps_it(run_program):
    kind = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
    assert len(run_program(program()).of(kind)) == 1
    adopted = run_program(program(github={**GITHUB, "adopt_provider": True}))
    assert adopted.of(kind) == {}
    assert trust_of(adopted, "fleet-deploy-dev") == DEPLOY_DEV


@pytest.mark.parametrize("other", ["parcels", "fleet-two", "fle"])
def test_two_projects_share_an_account_and_no_name(registered, run_program, other):
    second = run_program(program(other, roles=PEOPLE, github={**GITHUB, "adopt_provider": True}))

    def names(found):
        kinds = (
            ROLE,
            POLICY,
            "aws:s3/bucket:Bucket",
            "aws:ssm/parameter:Parameter",
            "aws:ecr/repository:Repository",
            "aws:kms/alias:Alias",
        )
        return {inputs.get("name", inputs.get("bucket")) for kind in kinds for inputs in found.of(kind).values()}

    assert names(second) & names(registered) == set()


def test_every_policy_fits_whatever_the_names(run_program):
    long = "a-project-with-a-name-long-as-x"
    found = run_program(program(long, roles=PEOPLE))
    sizes = {name: len(inputs["policy"]) for name, inputs in found.of(POLICY).items()}
    assert max(sizes.values()) <= MANAGED_POLICY_LIMIT
    assert max(len(inputs["name"]) for inputs in found.of(ROLE).values()) <= 64
    for role in found.of(ROLE):
        assert sum(inputs["role"] == role for inputs in found.of(ATTACHED).values()) <= 10


def test_single_sign_on_makes_permission_sets_instead_of_roles(run_program):
    groups = {"data_scientists": "g-1", "approvers": "g-2", "engineers": "g-3"}
    answers = {
        "aws:ssoadmin/getInstances:getInstances": {
            "arns": ["arn:aws:sso:::instance/ssoins-1"],
            "id": "x",
            "identityStoreIds": ["d-1"],
        }
    }
    project = "a-project-with-a-long-name"
    found = run_program(program(project, single_sign_on=groups), answers)
    sets = found.of("aws:ssoadmin/permissionSet:PermissionSet")
    assert all(len(inputs["name"]) <= 32 for inputs in sets.values())
    assert len({inputs["name"] for inputs in sets.values()}) == 3
    assignments = found.of("aws:ssoadmin/accountAssignment:AccountAssignment")
    assert {name.removeprefix(f"{project}-"): inputs["principalId"] for name, inputs in assignments.items()} == {
        "data-scientist": "g-1",
        "approver": "g-2",
        "engineer": "g-3",
    }
    assert not any(name.endswith("engineer") for name in found.of(ROLE))


def test_a_production_account_has_no_role_for_data_scientists(run_program):
    found = run_program(program(environments=["prod"], roles=PEOPLE))
    assert sorted(name for name in found.of(ROLE) if "-prod" not in name) == ["fleet-approver", "fleet-engineer"]
    assert found.of("github:index/branchProtection:BranchProtection") == {}, (
        "the repository's own settings are the first account's"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"account": "12345"}, "account: String should match pattern"),
        ({"environmnets": ["dev"]}, "environmnets: unknown key; did you mean 'environments'?"),
        ({"environments": []}, "environments: "),
        ({"environments": ["plan"]}, "'plan' is a name of the bootstrap's own; choose another"),
        ({"environments": ["dev", "dev"]}, "environments: each once"),
        ({"environments": ["Dev"]}, "String should match pattern"),
        ({"github": {**GITHUB, "plan": "gold"}}, "github.plan: Input should be 'free', 'team' or 'enterprise'"),
        (
            {"github": {**GITHUB, "reviewers": [1]}},
            "required reviewers on private repositories with the plan enterprise alone",
        ),
        ({"roles": {"trusted": []}}, "roles.trusted"),
        ({"roles": {"trusted": ["ada"]}}, "String should match pattern"),
        (
            {"roles": PEOPLE, "single_sign_on": {"data_scientists": "a", "approvers": "b", "engineers": "c"}},
            "state only one of them",
        ),
    ],
)
def test_a_wrong_setting_is_reported(changes, says):
    with pytest.raises(UserError) as told:
        settings(**changes)
    assert "Pulumi.main.yaml: " in str(told.value)
    assert says in str(told.value)


def test_without_settings_the_docs_are_named():
    with pytest.raises(UserError, match=r"says nothing about the account; docs/first-day\.md shows what to write"):
        BootstrapSettings.parse({"aws:region": "eu-west-1"}, "Pulumi.main.yaml")


def test_an_account_without_quotes_loses_no_zero():
    assert settings(account="001234567890").account == "001234567890"
    assert settings(image_readers=[1234567890]).image_readers == ("001234567890",)


@pytest.mark.parametrize("project", ["fleet-dev", "a-name-that-is-longer-than-any-bucket"])
def test_a_name_that_reaches_into_anothers_or_is_too_long_is_refused(project):
    with pytest.raises(UserError, match=r"pyproject\.toml"):
        Home(project, ACCOUNT, "eu-west-1").scope("staging")


def test_a_long_name_is_cut_to_one_that_differs():
    assert shortened("short", 32) == "short"
    cut = [shortened(f"a-project-with-a-long-name-{role}", 32) for role in ("approver", "engineer")]
    assert [len(one) for one in cut] == [32, 32]
    assert cut[0] != cut[1]


@pytest.mark.parametrize("person", ["fleet-engineer", "fleet-deploy-prod", "fleet-plan-dev", "fleet-boundary-prod"])
def test_no_policy_allows_every_action_or_all_of_a_service_everywhere(registered, person):
    for name, inputs in registered.of(POLICY).items():
        if name.startswith(person):
            for statement in json.loads(inputs["policy"])["Statement"]:
                everywhere = "*" in statement["Resource"] and statement["Effect"] == "Allow"
                assert not (
                    everywhere and any(action.endswith(":*") or action == "*" for action in statement["Action"])
                )


EXPLAINED = {
    "RESOURCE_MISMATCH": "an action pattern names more actions than the statement's resources take: those stay denied",
    "UNKNOWN_CONDITION_FOR_ACTION": "parliament does not know kms:ResourceAliases, a key of KMS since 2021",
    "MISMATCHED_TYPE_BUT_USABLE": "iam:PermissionsBoundary is compared as text, as in AWS's own examples",
    "RESOURCE_STAR": "EC2's interfaces of jobs and its descriptions are bounded by what roles themselves allow",
}
NEWER_THAN_PARLIAMENT = ("Mlflow",)


@pytest.mark.filterwarnings("ignore")
def test_a_linter_finds_nothing_unexplained_in_any_policy(registered):
    with warnings.catch_warnings(action="ignore"):
        from parliament import analyze_policy_string

    def unexplained(text):
        found = analyze_policy_string(text).findings
        return [
            (one.issue, one.detail)
            for one in found
            if one.issue not in EXPLAINED and not any(new in str(one.detail) for new in NEWER_THAN_PARLIAMENT)
        ]

    policies = {name: inputs["policy"] for name, inputs in registered.of(POLICY).items()}
    assert {name: problems for name, text in policies.items() if (problems := unexplained(text))} == {}
    planted = policies["fleet-approver-1"].replace("s3:GetObject", "s3:GetObjcet")
    assert unexplained(planted)[0][0] == "UNKNOWN_ACTION"


def test_the_first_day_tells_how_many_resources_pulumi_will_list(run_program):
    page = (ROOT / "docs/first-day.md").read_text()
    (block,) = re.findall(r"```yaml\n(config:.*?)```", page, re.DOTALL)
    given = {key.removeprefix("bootstrap:"): value for key, value in yaml.safe_load(block)["config"].items()}

    listed = len(run_program(program(**given)).resources) + 1  # the stack itself is one
    assert f"({listed} resources for two environments)" in page
