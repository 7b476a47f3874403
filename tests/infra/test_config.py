"""The configuration of an environment is small and strict, and says why something cannot be."""

import json

import pytest

from infra.aws.config import Config, RealTime, Serverless, parse
from infra.names import Names
from infra.program import wanted
from pipelines.config import UserError
from tests.infra.environments import ACCOUNT, ANOTHER, REGION, STACKS, given, image, plan

pytestmark = pytest.mark.infra

SERVERLESS = {"kind": "serverless"}
REAL_TIME = {"kind": "real-time", "instance": "ml.m5.large"}
VPC = {"id": "vpc-0a", "subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]}


def config(**changes):
    stated = {"account": ACCOUNT, "owner": "team", "serving": SERVERLESS, "budget_percent": 25, **changes}
    return parse({k: v if isinstance(v, str) else json.dumps(v) for k, v in stated.items()}, "Pulumi.dev.yaml")


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_of_the_repository_are_valid(stack):
    assert plan(stack).config.account == ACCOUNT


def test_they_share_the_budget_between_them():
    assert sum(plan(stack).config.budget_percent for stack in STACKS) <= 100


def test_they_follow_from_cloud_toml_and_pyproject():
    made = wanted("dev", given("dev", budget_percent=10))
    assert made.max_monthly_usd > 0
    assert made.contacts and all("@" in address for address in made.contacts)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"serving": SERVERLESS, "network": "private"}, "a serverless endpoint cannot be in a VPC"),
        ({"serving": SERVERLESS, "adopt": {"vpc": VPC}}, "a serverless endpoint cannot be in a VPC"),
        ({"serving": REAL_TIME, "network": "private", "adopt": {"vpc": VPC}}, "takes the place of network private"),
        ({"adopt": {"mlflow": "https://mlflow.example.com"}}, "takes the place of an App"),
        ({"network": "private", "mlflow": "app", "serving": REAL_TIME}, "to which the private network has no way"),
        ({"production": True, "backup_days": 7, "expires": "2027-01-01"}, "does not expire"),
        ({"production": True}, "is backed up"),
        ({"production": True, "backup_days": 7, "emulator": "http://localhost:4566"}, "no production"),
        ({"production": True, "backup_days": 7, "serving": REAL_TIME}, "two instances or more"),
        ({"image": image(account="999999999999")}, "in another account"),
        ({"image": image(region=ANOTHER), "region": REGION}, "in another region"),
        ({"region": "cn-north-1"}, "China and GovCloud"),
        ({"training": {"spot": True, "warm_minutes": 10}}, "no spot instances warm"),
        ({"training": {"gpu_instance": "ml.m5.large"}}, "has no GPU"),
        ({"readers": ["thing-dev-jobs"]}, "readers.0: String should match pattern"),
        (
            {"adopt": {"data": {"environment": "prod", "role": "arn:aws:iam::123456789012:role/thing-prod-jobs"}}},
            "adopt.data.role: String should match",
        ),
        ({"serving": {**REAL_TIME, "min_instances": 3, "max_instances": 2}}, "is more than max_instances"),
        ({"serving": {**SERVERLESS, "memory_mb": 3000}}, "memory_mb"),
        ({"serving": {**SERVERLESS, "instance": "ml.m5.large"}}, "instance: unknown key"),
        ({"serving": {"kind": "kubernetes"}}, "serving"),
        ({"image": "thing:latest"}, "image"),
        ({"account": "12ab"}, "account"),
        ({"budget_percent": 0}, "budget_percent"),
        ({"sevring": {}}, "unknown key; did you mean 'serving'?"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(changes, reason):
    with pytest.raises(UserError, match=r"^Pulumi\.dev\.yaml: ") as refused:
        config(**changes)
    assert reason in str(refused.value)


def test_an_image_of_another_region_than_cloud_toml_is_refused():
    with pytest.raises(UserError, match=f"is not in {REGION}"):
        plan("dev", image=image(region=ANOTHER))


def test_an_account_that_pulumi_wrote_as_a_number_keeps_its_zeros():
    assert config(account="12345678901").account == "012345678901"


@pytest.mark.parametrize(("project", "reason"), [("a" * 40, "shorten"), ("fleet-prod", "rename")])
def test_a_name_that_would_break_others_is_refused(project, reason):
    with pytest.raises(UserError, match=reason):
        Names(project, "dev", ACCOUNT, REGION)


def test_quotas_are_what_jobs_and_an_update_of_the_endpoint_need():
    trained = {"gpu_instance": "ml.g5.xlarge", "instances": 2, "spot": True}
    assert config(serving=REAL_TIME, training=trained).quotas == {
        "ml.m5.xlarge for spot training job usage": 2,
        "ml.g5.xlarge for spot training job usage": 2,
        "ml.m5.xlarge for processing job usage": 1,
        "ml.m5.large for endpoint usage": 4,
    }
    assert config(training={"spot": False, "warm_minutes": 5}).quotas["ml.m5.xlarge for training warm pool usage"] == 1


def test_an_endpoint_is_one_of_two_kinds():
    assert isinstance(config().serving, Serverless)
    assert isinstance(config(serving=REAL_TIME).serving, RealTime)
    assert Config.model_fields["serving"].discriminator == "kind"
