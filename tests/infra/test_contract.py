"""Whatever the programs register fits the models of the services that make it, at the longest names that we take.

The provider sends these strings as they are, and moto takes most of them; AWS does not.
"""

import json
import re

import pytest
from pulumi.runtime import rpc

from infra.names import LONGEST
from infra.program import wanted
from infra.tools.recording import record
from tests.aws import service_models
from tests.aws.resources import NotMapped, faults
from tests.infra.bootstrap_mocks import ACCOUNT, PEOPLE, program
from tests.infra.environments import REGION, STACKS, given, image, of
from tests.infra.test_permissions import APP, LENT, TRAINS

pytestmark = pytest.mark.infra

AUTONAMED = {"aws:sagemaker/model:Model", "aws:sagemaker/endpointConfiguration:EndpointConfiguration"}
GROUP = "90679b3b24-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
SINGLE_SIGN_ON = dict.fromkeys(("data_scientists", "approvers", "engineers"), GROUP)
ALTERNATIVES = {
    "dev": {"expires": "2027-01-01", "dispatch": APP, "adopt": {"data": LENT}, "backup_days": 7},
    "staging": {"training": {"gpu_instance": "ml.g5.xlarge", "instances": 2, "spot": False, "warm_minutes": 30}},
    "prod": {"readers": [TRAINS]},
}
# What the scheduler writes in the place of its words; its documentation has these very examples.
SCHEDULER = {
    "<aws.scheduler.execution-id>": "d32c5kddcf5bb8c3",
    "<aws.scheduler.scheduled-time>": "2022-03-22T18:59:43Z",
    "<aws.scheduler.attempt-number>": "1",
}


def longest(stack):
    """Return a stack of the repository, with all that can be added to it, in a project with the longest name."""
    project = "p" * (LONGEST - len(stack))
    stated = given(stack, image=image(project=project), **ALTERNATIVES[stack])
    return record(wanted(stack, stated, project=project))


@pytest.fixture(scope="module")
def environments():
    return {stack: longest(stack) for stack in STACKS}


def named(resource):
    """Return properties with the name that Pulumi draws where the program states none."""
    drawn = {"name": f"{resource.name}-0123abc"} if resource.type in AUTONAMED else {}
    return {**resource.props, **drawn}


@pytest.mark.parametrize("stack", STACKS)
def test_aws_takes_each_resource_of_an_environment(environments, stack):
    ours = [one for one in environments[stack] if one.type.startswith("aws:")]
    assert [fault for one in ours for fault in faults(one.type, one.name, named(one))] == []
    assert len(ours) > 100


@pytest.mark.parametrize("people", [{"roles": PEOPLE}, {"single_sign_on": SINGLE_SIGN_ON}])
def test_aws_takes_each_resource_of_the_bootstrap(run_program, people):
    answers = {"aws:ssoadmin/getInstances:getInstances": {"arns": ["arn:aws:sso:::instance/ssoins-1234567890abcdef"]}}
    registered = run_program(program("p" * 32, **people), answers)
    ours = {key: _real(inputs) for key, inputs in registered.resources.items() if key[0].startswith("aws:")}
    assert [fault for (kind, name), props in ours.items() for fault in faults(kind, name, props)] == []
    assert len(ours) > 30


def _real(value):
    """Return inputs with ARNs of their form in the place of the mocks', and secrets as texts."""
    if rpc.is_rpc_secret(value):
        return _real(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _real(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_real(one) for one in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"arn:aws:iam/(role|policy):\w+:(\S+)", rf"arn:aws:iam::{ACCOUNT}:\1/\2", value)
    value = re.sub(
        r"arn:aws:ssoadmin\S+", "arn:aws:sso:::permissionSet/ssoins-1234567890abcdef/ps-1234567890abcdef", value
    )
    return re.sub(r"arn:aws:kms\S+", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab", value)


# ---- what AWS composes


@pytest.mark.parametrize("stack", STACKS)
def test_sagemaker_takes_what_the_scheduler_asks_of_it(environments, stack):
    starts = [
        one.props["target"] for one in of(environments[stack], "Schedule") if "aws-sdk" in one.props["target"]["arn"]
    ]
    asked = [json.loads(target["input"], parse_int=str) for target in starts]
    composed = [{key: _composed(text) for key, text in one.items()} for one in asked]
    assert [
        fault for one in composed for fault in service_models.faults("sagemaker", "StartPipelineExecution", one)
    ] == []
    assert len(composed) == 3
    tokens = {one["ClientRequestToken"] for one in asked}
    assert len(tokens) == 3
    assert not any("execution-id" in token or "attempt" in token for token in tokens)  # others at a second attempt
    assert all("<aws.scheduler.scheduled-time>" in token for token in tokens)


def _composed(text):
    for word, example in SCHEDULER.items():
        text = text.replace(word, example)
    return text


JOBS = {
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
}


@pytest.mark.parametrize("stack", STACKS)
def test_sagemaker_takes_each_job_of_each_pipeline(environments, stack):
    jobs = [
        (step, _run(step["Arguments"], {one["Name"]: one["DefaultValue"] for one in definition["Parameters"]}))
        for pipeline in of(environments[stack], "Pipeline")
        for definition in [json.loads(pipeline.props["pipelineDefinition"])]
        for step in definition["Steps"]
    ]
    names = service_models.model("sagemaker").shape_for("StepName")
    assert [fault for step, _ in jobs for fault in service_models.of_shape(names, step["Name"], "Name")] == []
    assert [fault for step, job in jobs for fault in _refused(step["Type"], job)] == []
    assert {job["Environment"]["AWS_DEFAULT_REGION"] for _, job in jobs} == {REGION}  # or boto3 has none there
    assert len(jobs) > 20


def _refused(kind, job):
    operation, name = JOBS[kind]
    return service_models.faults("sagemaker", operation, {name: "pipelines-abcdefghijkl-step-AbCdEfGhIj", **job})


def _run(value, parameters):
    """Return the arguments of a step as SageMaker puts them together when it starts the job."""
    if isinstance(value, list):
        return [_run(one, parameters) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Get"}:
        kind, _, name = value["Get"].partition(".")
        return parameters[name] if kind == "Parameters" else "abcdefghijkl"
    if value.keys() == {"Std:Join"}:
        join = value["Std:Join"]
        return join["On"].join(str(_run(one, parameters)) for one in join["Values"])
    return {key: _run(one, parameters) for key, one in value.items()}


# ---- the check itself

BUCKET, ALARM = "aws:s3/bucket:Bucket", "aws:cloudwatch/metricAlarm:MetricAlarm"
PLANTED = {
    "a name": (("aws:sagemaker/endpoint:Endpoint", {"name": "thing_dev"}), "EndpointName 'thing_dev' does not match"),
    "a long name": (("aws:iam/role:Role", {"name": "r" * 65}), "RoleName 'rrr"),
    "a name that Pulumi lengthens": (
        ("aws:sagemaker/model:Model", {"name": f"{'p' * 60}-0123abc"}), "ModelName 'ppp",
    ),
    "a bucket": ((BUCKET, {"bucket": "Thing-dev"}), "bucket 'Thing-dev' does not match"),
    "an ARN": (("aws:sagemaker/model:Model", {"executionRoleArn": "jobs"}), "ExecutionRoleArn 'jobs' has 4 characters"),
    "a rate": (
        ("aws:scheduler/schedule:Schedule", {"name": "s", "scheduleExpression": "every day"}), "'every day' does not",
    ),
    "a description": (("aws:kms/key:Key", {"description": "d" * 8193}), "8193 characters, and 8192 is the most"),
    "a word": ((ALARM, {"name": "a", "dimensions": {}, "comparisonOperator": ">"}), "'>' is none of"),
    "a nested word": (
        ("aws:sagemaker/endpoint:Endpoint", {"deploymentConfig": {"blueGreenUpdatePolicy": {
            "trafficRoutingConfiguration": {"type": "SLOWLY"}}}}), "'SLOWLY' is none of ALL_AT_ONCE",
    ),
    "an attribute": (("aws:sns/topicSubscription:TopicSubscription", {"protocol": 1.5, "topic": ["x"]}), "TopicArn is"),
    "a retention": (("aws:cloudwatch/logGroup:LogGroup", {"name": "/aws/x", "retentionInDays": 31.0}), "'31' does not"),
    "a group of addresses": (
        ("aws:ec2/securityGroup:SecurityGroup", {"name": "doors", "description": "jobs → endpoints"}), "does not match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_of_a_resource_is_found(planted):
    (kind, props), said = PLANTED[planted]
    assert [one for one in faults(kind, "it", props) if said in one], faults(kind, "it", props)


def test_a_property_or_a_resource_that_nothing_checks_is_an_error():
    with pytest.raises(NotMapped, match="takes encripted"):
        faults(BUCKET, "it", {"bucket": "thing-dev", "encripted": True})
    with pytest.raises(KeyError, match="aws:ec2/natGateway"):
        faults("aws:ec2/natGateway:NatGateway", "it", {})


def test_a_job_with_a_wrong_argument_is_found(environments):
    (training,) = [one for one in of(environments["prod"], "Pipeline") if one.name == "training"]
    (train,) = [
        step for step in json.loads(training.props["pipelineDefinition"])["Steps"] if step["Type"] == "Training"
    ]
    job = _run(train["Arguments"], {"RunId": "r" * 2501, "TrainingInstance": "ml.m5.tiny", "TrainingInstances": "two"})
    wrong = _refused("Training", job)
    assert len(wrong) == 3, wrong
