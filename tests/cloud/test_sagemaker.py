"""Pipelines on SageMaker: their definitions, how they are started, and what counts as done."""

import io
import json
import re
from datetime import timedelta

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from typer.testing import CliRunner

from pipelines.adapters.aws.endpoint import Endpoint, Health
from pipelines.adapters.aws.executions import SageMakerExecutions
from pipelines.bootstrap import pipeline
from pipelines.config import UserError
from pipelines.config.errors import DataError
from pipelines.contracts.rendered import filled
from pipelines.entrypoints.cli.__main__ import app
from pipelines.entrypoints.lambda_handler import _platform, handler
from pipelines.feature import FeatureParams
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.executions import ComputeRequest, RunOutcome
from tests.conftest import HISTORY, learn, make_platform, release
from tests.contract.executions import keeps_its_promises
from tests.unit.contracts.test_rendered import PLACES, RENDERED

pytestmark = pytest.mark.cloud

DAYS = FeatureParams(start=HISTORY, end=HISTORY + timedelta(days=2))
EXECUTION = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/thing-dev-feature/execution/abcdefghijkl"
FAILED = {"PipelineExecutionStatus": "Failed", "FailureReason": "a step failed"}


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
    arn = cloud.aws.executions.start(feature, run_id)
    assert arn.startswith("arn:aws:sagemaker:")
    outcome = cloud.aws.executions.outcome(cloud.runner, feature, run_id)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("SageMaker says Succeeded, but step feature/extract of run 'days' is not done")
    cloud.runner.run(feature, run_id)
    assert cloud.aws.executions.outcome(cloud.runner, feature, run_id) == RunOutcome("succeeded")
    cloud.objects.write(f"runs/{run_id}/materialise/output.json", b"{}")
    assert "was changed" in cloud.aws.executions.outcome(cloud.runner, feature, run_id).reason


def test_sagemaker_keeps_what_every_place_promises(cloud):
    keeps_its_promises(cloud, cloud.runner.run)


def test_a_run_is_stopped(cloud, stubbed):
    executions, sagemaker, _ = stubbed
    asked = {"PipelineExecutionArn": EXECUTION, "ClientRequestToken": ANY}
    sagemaker.add_response("stop_pipeline_execution", {"PipelineExecutionArn": EXECUTION}, asked)
    executions.cancel("days")
    sagemaker.assert_no_pending_responses()


def test_a_pipeline_that_was_not_provisioned_is_reported(cloud, stubbed):
    executions, sagemaker, _ = stubbed
    sagemaker.add_client_error("start_pipeline_execution", "ResourceNotFound")
    with pytest.raises(
        UserError, match=f"SageMaker has no pipeline {cloud.aws.stack.project}-dev-feature; run 'mlops render'"
    ):
        executions.start(pipeline("feature"), "days")


def test_a_run_that_was_not_started_there_is_reported(cloud):
    with pytest.raises(UserError, match="'days' was not started on SageMaker"):
        cloud.aws.executions.outcome(cloud.runner, pipeline("feature"), "days")


@pytest.fixture
def stubbed(cloud):
    """Executions whose SageMaker and logs answer as botocore's models say they may: the emulator has no such answers."""
    session = boto3.Session(region_name="eu-west-1")
    clients = session.client("sagemaker"), session.client("logs")
    stubs = [Stubber(one) for one in clients]
    for stub in stubs:
        stub.activate()
    cloud.runner.start(pipeline("feature"), DAYS, "days")
    cloud.objects.write("runs/days/execution.json", json.dumps({"arn": EXECUTION}).encode())
    return SageMakerExecutions(*clients, cloud.objects, cloud.aws.stack), *stubs


def test_a_step_that_failed_is_reported_by_its_own_record_and_log(cloud, stubbed, monkeypatch):
    executions, sagemaker, _ = stubbed
    monkeypatch.setattr("tests.problems.parcels._tables", dict)  # a source that has lost its tables
    with pytest.raises(DataError, match="read fails: KeyError"):
        cloud.runner.step(pipeline("feature"), "extract", "days")
    sagemaker.add_response("describe_pipeline_execution", FAILED)
    steps = [{"StepName": "extract", "StepStatus": "Failed", "FailureReason": "ClientError: exit code 1"}]
    sagemaker.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})
    outcome = executions.outcome(cloud.runner, pipeline("feature"), "days")
    record = cloud.runner.record("days", "extract")
    assert outcome == RunOutcome("failed", f"extract: {record.error}", record.log[-20:])
    assert "Traceback" in outcome.log[-1]


def test_a_killed_step_reports_sagemakers_reason_and_the_end_of_its_log(cloud, stubbed):
    executions, sagemaker, logs = stubbed
    sagemaker.add_response("describe_pipeline_execution", FAILED)
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job/job-1"
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
    assert outcome == RunOutcome("failed", "extract: AlgorithmError: out of memory", ("reading", "Killed"))


def test_machines_of_a_run_are_refused_where_the_stack_states_them(stubbed):
    executions, _, _ = stubbed
    with pytest.raises(UserError, match="the stack states what networks train on"):
        executions.start(pipeline("training"), "days", ComputeRequest(network=True, machines=2))


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


# ---- the commands


def test_a_run_is_started_from_a_laptop_followed_and_its_data_pulled(function, cloud, tmp_path):
    invoke = CliRunner().invoke
    started = invoke(app, ["run", "feature", "--on", "aws", "--set", "start=2024-01-01", "--set", "end=2024-01-04"])
    assert started.exit_code == 0, started.output
    (run_id,) = re.findall(r"started (feature-\S+) on SageMaker", started.output)
    followed = invoke(app, ["follow", "feature", "--run-id", run_id])
    assert followed.exit_code == 3
    assert "SageMaker says Succeeded, but step feature/extract" in followed.output
    cloud.runner.run(pipeline("feature"), run_id)
    followed = invoke(app, ["follow", "feature", "--run-id", run_id, "--json"])
    assert json.loads(followed.output)["status"] == "succeeded"
    home = tmp_path / "here"
    days = ["--start", "2024-01-01", "--end", "2024-01-04", "--sample", "0.5", "--into", str(home)]
    pulled = invoke(app, ["data", "pull", *days])
    assert pulled.exit_code == 0, pulled.output
    here = cloud.changed({"profile": "embedded", "home": home})
    assert 0 < here.tables.read("raw.parcels").num_rows < cloud.tables.read("raw.parcels").num_rows


def test_status_shows_why_a_run_failed_with_the_end_of_its_log(function, cloud, monkeypatch):
    feature = pipeline("feature")
    cloud.runner.start(feature, DAYS, "days")
    cloud.aws.executions.start(feature, "days")
    told = CliRunner().invoke(app, ["status"]).output
    assert "0 of 5 steps done, failed on SageMaker" in " ".join(told.split())
    assert "SageMaker says Succeeded, but step feature/extract" in " ".join(told.split())
    log = ("one", "two [x]", *"345678")
    failed = RunOutcome("failed", "extract: AlgorithmError: out of memory", log)
    monkeypatch.setattr(SageMakerExecutions, "outcome", lambda *_: failed)
    told = CliRunner().invoke(app, ["status"]).output
    assert "out of memory" in told and ": 8\n" in told and ": two" not in told
    (shown,) = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)["runs"]
    assert (shown["failed"], shown["log"]) == (failed.reason, list(log[-5:]))


def test_a_day_is_predicted_for_by_a_job_and_brought_here(function, cloud, tmp_path):
    """The emulator runs no job, so its step is run here; what comes is what this machine predicts by itself."""
    release(cloud, learn(cloud))
    invoke, output = CliRunner().invoke, tmp_path / "there.parquet"
    given = ["predict", "--on", "aws", "--as-of", "2024-02-20"]
    started = invoke(app, given)
    assert started.exit_code == 0, started.output
    (run_id,) = re.findall(r"started (batch-\S+) on SageMaker", started.output)
    early = invoke(app, ["predict", "--on", "aws", "--run-id", run_id, "--output", str(output)])
    assert "is not done; run it first" in str(early.exception)
    cloud.runner.run(pipeline("batch"), run_id)
    assert invoke(app, ["follow", "batch", "--run-id", run_id]).exit_code == 0
    brought = invoke(app, ["predict", "--on", "aws", "--run-id", run_id, "--output", str(output)])
    assert brought.exit_code == 0, brought.output
    here = tmp_path / "here.parquet"
    assert invoke(app, ["predict", "--as-of", "2024-02-20", "--output", str(here)]).exit_code == 0
    assert pq.read_table(output).equals(pq.read_table(here))
    assert pq.read_table(output).num_rows > 10
    csv = tmp_path / "there.csv"
    invoke(app, ["predict", "--on", "aws", "--run-id", run_id, "--output", str(csv)])
    assert len(csv.read_text().splitlines()) == pq.read_table(output).num_rows + 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--on", "aws"], "on aws give --as-of DATE"),
        (["--as-of", "2024-02-20"], "give --output FILE"),
        (["--on", "aws", "--run-id", "none", "--output", "x.txt"], "ends in neither .csv nor .parquet"),
    ],
)
def test_what_a_batch_needs_is_reported(function, given, reason):
    assert reason in str(CliRunner().invoke(app, ["predict", *given]).exception)


def test_what_is_no_place_to_run_is_reported(function):
    result = CliRunner().invoke(app, ["run", "feature", "--on", "mars"])
    assert result.exit_code == 2
    assert "'mars' is not one of" in result.output


# ---- the endpoint


@pytest.fixture
def endpoint():
    """A client of an endpoint whose answers are made to botocore's model: the emulator's are the same for any request."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    runtime = boto3.Session(region_name="eu-west-1", **keys).client("sagemaker-runtime")
    with Stubber(runtime) as stub:
        yield Endpoint(runtime, None, "parcels-dev"), stub


@pytest.fixture
def served(cloud, made):
    """A platform on an environment with an endpoint, as the emulator keeps one."""
    stack, sagemaker = cloud.profile.stack, made.client("sagemaker")
    name = f"{stack.project}-dev"
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=stack.compute.role, PrimaryContainer={"Image": "image"})
    variant = {"VariantName": "app", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
    sagemaker.create_endpoint_config(EndpointConfigName=f"{name}-1", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-1")
    made.publish(stack.model_copy(update={"endpoint": name}))
    return cloud.changed({})


def test_status_tells_how_the_endpoint_is_and_what_is_live(function, served):
    health = served.aws.endpoint.health()
    name = served.aws.stack.endpoint
    assert (health.status, health.configuration, health.reason) == ("InService", f"{name}-1", "")
    told = CliRunner().invoke(app, ["status"])
    assert told.exit_code == 0, told.output
    assert f"InService: 2 of 2 instances, configuration {name}-1" in " ".join(told.output.split())
    shown = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)["endpoint"]
    assert (shown["instances"], shown["configuration"]) == ([2, 2], f"{name}-1")


def test_a_failed_update_reports_its_reason_and_the_live_configuration():
    """The emulator updates no endpoint, so the answer is made to botocore's model."""
    sagemaker = boto3.Session(region_name="eu-west-1").client("sagemaker")
    with Stubber(sagemaker) as stub:
        variant = {
            "VariantName": "app",
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 2,
            "DeployedImages": [{"SpecifiedImage": "old"}],
        }
        answer = {
            "EndpointName": "e",
            "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/e",
            "EndpointConfigName": "e-1",
            "EndpointStatus": "UpdateRollbackFailed",
            "ProductionVariants": [variant],
            "FailureReason": "no capacity",
            "CreationTime": HISTORY,
            "LastModifiedTime": HISTORY,
        }
        stub.add_response("describe_endpoint", answer, {"EndpointName": "e"})
        health = Endpoint(None, sagemaker, "e").health()
    assert health == Health("UpdateRollbackFailed", "e-1", "old", (1, 2), HISTORY, "no capacity")


def test_an_endpoint_is_asked_as_the_app_is(endpoint):
    client, stub = endpoint
    content = b'{"predictions": [{"prediction": 0.5}]}'
    asked = {"EndpointName": "parcels-dev", "Body": b'{"instances":[{"n":1}]}', "ContentType": "application/json"}
    answer = {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentType": "application/json"}
    stub.add_response("invoke_endpoint", answer, asked)
    assert client.predict([{"n": 1}]) == [{"prediction": 0.5}]
    assert (client.requests, client.failed) == (1, 0)


def test_a_request_that_the_endpoint_refuses_fails_in_the_apps_words(endpoint):
    client, stub = endpoint
    stub.add_client_error(
        "invoke_endpoint",
        "ModelError",
        http_status_code=424,
        modeled_fields={"OriginalStatusCode": 503, "OriginalMessage": "no release yet"},
    )
    assert client.predict([{"n": 1}]) == []
    assert (client.failed, client.failure) == (1, "status 503: no release yet")


def test_a_replay_to_an_endpoint_that_does_not_exist_is_reported(function, tmp_path):
    replayed = CliRunner().invoke(app, ["replay", "--start", "2024-01-01", "--end", "2024-01-02"])
    assert str(replayed.exception) == "'dev' has no SageMaker endpoint; give the app's --url"
    with pytest.raises(UserError, match="needs RATCHET_PROFILE=aws"):
        _ = make_platform(tmp_path).aws
