"""The endpoint is asked what it serves with; what goes wrong there is told in a sentence."""

import boto3
import pulumi
import pytest
from moto import mock_aws

from infra.aws import live
from infra.tools.recording import record
from pipelines.config import UserError
from tests.infra.environments import ACCOUNT, REGION, image, plan

pytestmark = pytest.mark.infra


@pytest.fixture
def sagemaker(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("sagemaker", region_name=REGION)


def test_the_configuration_of_an_endpoint_is_told(sagemaker):
    role = f"arn:aws:iam::{ACCOUNT}:role/thing-dev-serving"
    sagemaker.create_model(ModelName="it", ExecutionRoleArn=role, PrimaryContainer={"Image": image()})
    variant = {"VariantName": "app", "ModelName": "it", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="it", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="thing-dev", EndpointConfigName="it")
    assert live.configuration(REGION, "thing-dev") == "it"


def test_an_endpoint_that_aws_does_not_know_is_a_sentence(sagemaker):
    with pytest.raises(
        UserError, match=rf"SageMaker in {REGION} does not say what endpoint thing-dev serves with: .*Could not find"
    ):
        live.configuration(REGION, "thing-dev")


def test_the_program_ends_with_that_sentence_and_no_traceback(sagemaker):
    with pytest.raises(pulumi.RunError, match="does not say what endpoint thing-dev serves with"):
        record(plan("dev", live=live.configuration))
