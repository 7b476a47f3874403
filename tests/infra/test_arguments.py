"""What the programs give to Pulumi's SDKs is what the SDKs know.

Every test of this folder records under the same check (see conftest), so each setting that one of them tries is held to
it too. Here are its plants: faults that it must find.
"""

import pulumi
import pulumi_aws as aws
import pulumi_github as github
import pulumi_kubernetes as k8s
import pytest

from tests.infra import locally
from tests.infra.bootstrap_mocks import PEOPLE, program
from tests.infra.environments import STACKS, environment
from tests.infra.strict_arguments import WrongArgument

pytestmark = pytest.mark.infra

RULE = {"apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms"}}
PLANTED = {
    "an argument": lambda: aws.s3.Bucket("it", bukcet="thing"),
    "a nested key": lambda: aws.s3.Bucket("it", versioning={"enabeld": True}),
    "a key within a list": lambda: aws.s3.BucketServerSideEncryptionConfiguration(
        "it", bucket="thing", rules=[{**RULE, "bucket_key_enable": True}]
    ),
    "a key of an output": lambda: aws.s3.Bucket("it", versioning=pulumi.Output.from_input({"enabeld": True})),
    "a key of the provider": lambda: aws.Provider("it", default_tags={"tag": {"a": "b"}}),
    "a field of Kubernetes": lambda: k8s.core.v1.Service("it", spec={"clusterIp": "None"}),
    "a deeper field of Kubernetes": lambda: k8s.apps.v1.Deployment(
        "it", spec={"selector": {}, "template": {"spec": {"containers": [{"name": "it", "imgae": "it"}]}}}
    ),
    "a setting of GitHub": lambda: github.BranchProtection(
        "it", repository_id="it", pattern="main", required_status_checks=[{"strcit": True}]
    ),
    "a key left out": lambda: aws.s3.BucketServerSideEncryptionConfiguration(
        "it", bucket="thing", rules=[{"apply_server_side_encryption_by_default": {}}]
    ),
    "a text for a number": lambda: aws.sqs.Queue("it", message_retention_seconds="60"),
    "a dictionary for a text": lambda: aws.sqs.Queue("it", policy={"Version": "2012-10-17"}),
    "a text for a list": lambda: aws.ec2.VpcEndpoint("it", vpc_id="vpc-1", subnet_ids="subnet-1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_planted_fault_of_an_argument_is_found(run_program, fault):
    with pytest.raises((WrongArgument, TypeError), match=r"bukcet|: \w+"):
        run_program(PLANTED[fault])


def test_every_environment_gives_the_sdks_what_they_know(run_program):
    for stack in STACKS:
        assert environment(stack)
    assert locally.local()
    assert run_program(program(roles=PEOPLE)).resources
