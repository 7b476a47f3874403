"""What AWS would refuse of a request is found, and what it takes is not."""

import boto3
import pytest
from botocore.stub import Stubber

from tests.aws.calls import recording
from tests.aws.service_models import faults

TOKEN = "t" * 32
ROLE = "arn:aws:iam::123456789012:role/thing-dev-jobs"
PLANTED = {
    "a text that is too short": (
        ("sagemaker", "StartPipelineExecution", {"PipelineName": "p", "ClientRequestToken": "t" * 16}),
        "ClientRequestToken 'tttttttttttttttt' has 16 characters, and 32 is the least",
    ),
    "a text that is too long": (
        ("events", "PutRule", {"Name": "n" * 65, "EventPattern": "{}"}),
        "has 65 characters, and 64 is the most",
    ),
    "a pattern": (
        ("sagemaker", "DescribeEndpoint", {"EndpointName": "thing_dev"}),
        "EndpointName 'thing_dev' does not match",
    ),
    "an enumeration": (
        ("s3", "PutObject", {"Bucket": "b", "Key": "k", "ObjectLockMode": "STRICT"}),
        "ObjectLockMode 'STRICT' is none of GOVERNANCE, COMPLIANCE",
    ),
    "a number": (
        ("sqs", "ReceiveMessage", {"QueueUrl": "q", "MaxNumberOfMessages": "ten"}),
        "MaxNumberOfMessages is the str 'ten', no number",
    ),
    "a number that is too large": (
        ("lambda", "CreateFunction", {"FunctionName": "f", "Role": ROLE, "Code": {}, "MemorySize": 99_999}),
        "MemorySize is 99999, and",
    ),
    "a member that is missing": (
        ("dynamodb", "PutItem", {"TableName": "t"}),
        "Item is missing",
    ),
    "a member that is not known": (
        ("dynamodb", "DescribeTable", {"TableName": "t", "Consistent": True}),
        "Consistent is not known",
    ),
    "an item of a list": (
        ("sagemaker", "StartPipelineExecution", {
            "PipelineName": "p", "ClientRequestToken": TOKEN, "PipelineParameters": [{"Name": "a b", "Value": "v"}],
        }),
        "PipelineParameters[0].Name 'a b' does not match",
    ),
    "a list that is too long": (
        ("sqs", "ReceiveMessage", {"QueueUrl": "q", "AttributeNames": ["Everything"]}),
        "AttributeNames[0] 'Everything' is none of",
    ),
    "a value of a map": (
        ("lambda", "CreateFunction", {
            "FunctionName": "f", "Role": ROLE, "Code": {}, "Environment": {"Variables": {"1st": "x"}},
        }),
        "Variables.1st (the key) '1st' does not match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_of_a_request_is_found(planted):
    request, said = PLANTED[planted]
    assert [one for one in faults(*request) if said in one], faults(*request)


def test_requests_that_aws_takes_have_no_fault():
    started = {"PipelineName": "thing-dev-training", "PipelineParameters": [{"Name": "RunId", "Value": "r-1"}]}
    assert faults("sagemaker", "StartPipelineExecution", started) == []  # the SDK makes the token
    assert faults("sagemaker", "CreateModel", {"ModelName": "thing-dev-1", "ExecutionRoleArn": ROLE}) == []
    assert (
        faults("glue", "CreateDatabase", {"DatabaseInput": {"Name": "thing_dev_raw", "Description": "déjà \U0001f6a2"}})
        == []
    )


def test_what_a_client_is_asked_is_recorded_with_its_faults():
    with recording() as recorded:
        client = boto3.Session(region_name="eu-west-1").client("sagemaker")
        with Stubber(client) as stub:
            stub.add_response("start_pipeline_execution", {})
            client.start_pipeline_execution(PipelineName="a_b", ClientRequestToken=TOKEN)
    assert recorded.operations == {("sagemaker", "StartPipelineExecution")}
    assert len(recorded.faults) == 1
    with recording() as later:
        pass
    assert later.calls == []
