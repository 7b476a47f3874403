"""Pipelines on SageMaker: their definitions, how they are started, and what counts as done."""

import json
import re
from datetime import timedelta

import boto3
import pytest
from botocore.stub import Stubber
from botocore.validate import ParamValidator

from pipelines import PIPELINES
from pipelines.adapters.aws.definition import definition
from pipelines.adapters.aws.executions import Executions, Outcome
from pipelines.bootstrap import pipeline
from pipelines.feature import FeatureParams
from pipelines.function import _platform, handler
from pipelines.spec import UserError
from pipelines.spec.rendered import Rendered, filled
from tests.cloud.emulator import ROOT
from tests.conftest import HISTORY

RENDERED = Rendered.from_json((ROOT / "infra/rendered/pipelines.json").read_bytes())
REQUESTS = {"Processing": "CreateProcessingJob", "Training": "CreateTrainingJob"}
PLACES = {
    "project": "parcels",
    "environment": "dev",
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/parcels@sha256:" + "a" * 64,
    "role": "arn:aws:iam::123456789012:role/parcels-dev-jobs",
    "bucket": "parcels-dev-store",
    "key": "arn:aws:kms:eu-central-1:123456789012:key/1",
    "instance": "ml.m5.xlarge",
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
}
DAYS = FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=2))
FAILED = {"PipelineExecutionStatus": "Failed", "FailureReason": "a step failed"}


@pytest.mark.parametrize("name", PIPELINES)
def test_what_is_committed_is_what_the_pipelines_are(name):
    assert RENDERED.pipelines[name].definition == definition(pipeline(name)), "run 'mlops render' and commit"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_comes_after_all_that_it_takes(name):
    steps = {step["Name"]: step for step in RENDERED.pipelines[name].definition["Steps"]}
    assert list(steps) == list(pipeline(name).steps)
    for step in pipeline(name).steps.values():
        assert set(step.needs.values()) <= set(steps[step.name].get("DependsOn", []))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_is_a_request_that_botocore_takes(name):
    for step in RENDERED.pipelines[name].definition["Steps"]:
        assert problems(step) == []


def test_a_request_that_is_wrong_is_found():
    step = json.loads(json.dumps(RENDERED.pipelines["training"].definition["Steps"][0]))
    del step["Arguments"]["ProcessingResources"]
    step["Arguments"]["Memory"] = 1
    assert len(problems(step)) == 2


def problems(step):
    """What botocore's model of SageMaker finds wrong with a step's request, and places that nothing fills."""
    operation = REQUESTS[step["Type"]]
    model = boto3.session.Session(region_name="eu-central-1").client("sagemaker").meta.service_model
    given = {**resolved(filled(step["Arguments"], PLACES)), operation.removeprefix("Create") + "Name": "job"}
    report = ParamValidator().validate(given, model.operation_model(operation).input_shape)
    errors = [line for line in report.generate_report().splitlines() if line]
    return errors + re.findall(r"\{\{.*?\}\}", json.dumps(given))


def resolved(document):
    """A request with texts for what SageMaker fills in when it runs."""
    if isinstance(document, dict):
        return "text" if document.keys() & {"Get", "Std:Join"} else {k: resolved(v) for k, v in document.items()}
    return [resolved(item) for item in document] if isinstance(document, list) else document


# ---- runs


@pytest.fixture
def cloud(new_cloud):
    platform = new_cloud()
    stack, sagemaker = platform.profile.stack, platform.profile.client("sagemaker")
    for name in PIPELINES:
        text = json.dumps(filled(RENDERED.pipelines[name].definition, PLACES))
        sagemaker.create_pipeline(
            PipelineName=f"{stack.project}-dev-{name.replace('_', '-')}",
            PipelineDefinition=text,
            RoleArn=stack.compute.role,
            ClientRequestToken="t" * 32,
        )
    return platform


def test_a_success_without_what_was_promised_is_a_failure(cloud):
    """The emulator calls every execution a success at once, which is what must not be believed."""
    feature = pipeline("feature")
    run_id = cloud.runner.start(feature, DAYS, "days")
    arn = cloud.executions.start(feature, run_id)
    assert arn.startswith("arn:aws:sagemaker:")
    outcome = cloud.executions.outcome(cloud.runner, feature, run_id)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("SageMaker says Succeeded, but step feature/extract of run 'days' is not done")
    cloud.runner.run(feature, run_id)
    assert cloud.executions.outcome(cloud.runner, feature, run_id) == Outcome("succeeded")
    cloud.objects.write(f"runs/{run_id}/materialise/output.json", b"{}")
    assert "was changed" in cloud.executions.outcome(cloud.runner, feature, run_id).reason


def test_a_pipeline_that_was_not_provisioned_is_told(new_cloud):
    with pytest.raises(UserError, match=r"SageMaker has no pipeline .*-dev-feature; 'mlops render'"):
        new_cloud().executions.start(pipeline("feature"), "run")


def test_a_run_that_was_not_started_there_is_told(cloud):
    with pytest.raises(UserError, match="'days' was not started on SageMaker"):
        cloud.executions.outcome(cloud.runner, pipeline("feature"), "days")


@pytest.fixture
def stubbed(cloud):
    """Executions whose SageMaker and logs answer as botocore's models say they may: the emulator has no such answers."""
    session = boto3.Session(region_name="eu-central-1")
    clients = session.client("sagemaker"), session.client("logs")
    stubs = [Stubber(one) for one in clients]
    for stub in stubs:
        stub.activate()
    cloud.runner.start(pipeline("feature"), DAYS, "days")
    cloud.objects.write("runs/days/execution.json", b'{"arn": "arn:of-the-execution"}')
    return Executions(*clients, cloud.objects, "parcels-dev"), *stubs


def test_a_step_that_failed_is_told_by_its_own_record_and_log(cloud, stubbed, monkeypatch):
    executions, sagemaker, _ = stubbed
    monkeypatch.setitem(cloud.problem.__dict__, "source", lambda *_: 1 / 0)
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever a broken source raises)
        cloud.runner.step(pipeline("feature"), "extract", "days")
    sagemaker.add_response("describe_pipeline_execution", FAILED)
    steps = [{"StepName": "extract", "StepStatus": "Failed", "FailureReason": "ClientError: exit code 1"}]
    sagemaker.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})
    outcome = executions.outcome(cloud.runner, pipeline("feature"), "days")
    record = cloud.runner.record("days", "extract")
    assert outcome == Outcome("failed", f"extract: {record.error}", record.log[-20:])
    assert "Traceback" in outcome.log[-1]


def test_a_step_that_was_killed_is_told_by_sagemaker_and_the_end_of_its_log(cloud, stubbed):
    executions, sagemaker, logs = stubbed
    sagemaker.add_response("describe_pipeline_execution", FAILED)
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:processing-job/job-1"
    killed = {
        "StepName": "extract",
        "StepStatus": "Failed",
        "FailureReason": "AlgorithmError: out of memory",
        "Metadata": {"ProcessingJob": {"Arn": arn}},
    }
    sagemaker.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": [killed]})
    streams = {"logStreams": [{"logStreamName": "job-1/algo"}]}
    group = {"logGroupName": "/aws/sagemaker/ProcessingJobs"}
    logs.add_response("describe_log_streams", streams, {**group, "logStreamNamePrefix": "job-1"})
    lines = {"events": [{"timestamp": 1, "message": "reading"}, {"timestamp": 2, "message": "Killed"}]}
    asked = {**group, "logStreamName": "job-1/algo", "limit": 20, "startFromHead": False}
    logs.add_response("get_log_events", lines, asked)
    outcome = executions.outcome(cloud.runner, pipeline("feature"), "days")
    assert outcome == Outcome("failed", "extract: AlgorithmError: out of memory", ("reading", "Killed"))


# ---- the function


@pytest.fixture
def function(cloud, monkeypatch):
    for name, value in cloud.settings.variables().items():
        monkeypatch.setenv(name, value)
    _platform.cache_clear()
    yield handler
    _platform.cache_clear()


def test_the_clock_and_an_alarm_have_the_release_judged(function):
    assert function({}, None) == {"outcome": "no release is live"}
    assert function({"alarmData": {"alarmName": "parcels-dev-errors"}}, None) == {"outcome": "no release is live"}


def test_an_event_starts_a_pipeline_once(function, cloud):
    event = {"run": "feature", "set": ["start=2024-01-01", "end=2024-01-02"], "run_id": "day"}
    first = function(event, None)
    assert first["run_id"] == "day"
    assert first["execution"].startswith("arn:aws:sagemaker:")
    assert cloud.runner.exists(pipeline("feature"), "day")


def test_what_fails_is_raised_so_that_lambda_counts_it(function):
    with pytest.raises(UserError, match="there is no pipeline 'training2'"):
        function({"run": "training2"}, None)
