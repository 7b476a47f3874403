"""After an environment was destroyed, what updates kept is deleted, and what is left is found by its tags."""

import boto3
import pytest
from moto import mock_aws

from infra.names import Names
from infra.tools.leftovers import delete_configurations, left
from pipelines.config import Refused
from tests.infra.environments import ACCOUNT, REGION

pytestmark = pytest.mark.infra

NAMES = Names("thing", "dev", ACCOUNT, REGION)


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def kept(sagemaker, name):
    role, image = f"arn:aws:iam::{ACCOUNT}:role/thing-dev-serving", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/thing:1"
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": image})
    variant = {"VariantName": "app", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def test_configurations_that_updates_kept_are_deleted_and_nobody_elses(aws):
    sagemaker = aws("sagemaker")
    for name in ("thing-dev-app-0123456", "thing-dev-app-abcdef0", "thing-dev-by-hand", "thing-prod-app-0123456"):
        kept(sagemaker, name)
    assert delete_configurations(NAMES) == 2 * ["thing-dev-app-0123456", "thing-dev-app-abcdef0"]
    assert {one["ModelName"] for one in sagemaker.list_models()["Models"]} == {
        "thing-dev-by-hand",
        "thing-prod-app-0123456",
    }


def test_nothing_is_deleted_while_the_endpoint_is_there(aws):
    sagemaker = aws("sagemaker")
    kept(sagemaker, "thing-dev-app-0123456")
    sagemaker.create_endpoint(EndpointName="thing-dev", EndpointConfigName="thing-dev-app-0123456")
    with pytest.raises(Refused, match="still exists"):
        delete_configurations(NAMES)
    assert sagemaker.list_models()["Models"]


def test_leftovers_are_found_by_tags_and_keys_to_be_deleted_are_marked(aws):
    queue = {"tags": NAMES.tags, "QueueName": "thing-dev-events"}
    aws("sqs").create_queue(**queue)
    aws("sqs").create_queue(QueueName="thing-prod-events", tags={**NAMES.tags, "stack": "thing-prod"})
    kms = aws("kms")
    made = [
        kms.create_key(Tags=[{"TagKey": k, "TagValue": v} for k, v in NAMES.tags.items()])["KeyMetadata"] for _ in "ab"
    ]
    kms.schedule_key_deletion(KeyId=made[0]["KeyId"], PendingWindowInDays=7)
    things, keys = left(NAMES)
    assert keys == [made[0]["Arn"]]
    assert things == sorted([made[1]["Arn"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:thing-dev-events"])
