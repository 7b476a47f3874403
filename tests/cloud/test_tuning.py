"""A search as a tuning job: started once, taken by SageMaker's model, and its best settings before the gates."""

import json

import pytest
from botocore.validate import ParamValidator
from typer.testing import CliRunner

from pipelines.adapters.aws.tuning import job_name, request
from pipelines.bootstrap import pipeline
from pipelines.config import Problem, UserError
from pipelines.contracts import Stack
from pipelines.contracts.stack import TrainingResources
from pipelines.entrypoints.cli.__main__ import app
from pipelines.entrypoints.lambda_handler import handler
from pipelines.feature import FeatureParams
from pipelines.training.trial import Trial, keep_trial
from pipelines.training.tuning import SearchParams
from tests.cloud.test_sagemaker import cloud, function  # noqa: F401  (fixtures)
from tests.conftest import HISTORY, NOW

pytestmark = pytest.mark.cloud

LATE = Problem.load("tests.problems.late").config
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/parcels@sha256:" + "a" * 64
GIVEN = SearchParams(as_of=NOW, reason="test", estimators=("boosting",), workers=2)


def with_image(stack: Stack, **compute: object) -> Stack:
    return stack.model_copy(update={"compute": stack.compute.model_copy(update={"image": IMAGE, **compute})})


@pytest.mark.parametrize(
    "training", [TrainingResources(), TrainingResources(spot=False, warm_minutes=5, gpu_instance="ml.g5.xlarge")]
)
@pytest.mark.parametrize("estimator", ["boosting", "network"])
def test_the_request_is_one_that_botocore_takes(made, training, estimator):
    stack, client = with_image(made.stack(), training=training), made.client("sagemaker")
    given = {"HyperParameterTuningJobName": job_name(stack, "s"), **request(stack, LATE, "s", estimator, 2)}
    shape = client.meta.service_model.operation_model("CreateHyperParameterTuningJob").input_shape
    assert ParamValidator().validate(given, shape).generate_report() == ""
    job = given["TrainingJobDefinition"]
    assert "{{" not in json.dumps(given)
    assert job["StaticHyperParameters"] == {"trial": estimator, "run_id": "s"}
    gpu = training.gpu_instance if estimator == "network" else None
    assert job["ResourceConfig"]["InstanceType"] == (gpu or training.instance)
    assert job["EnableManagedSpotTraining"] is training.spot


def test_without_an_image_there_is_nothing_to_run(made):
    with pytest.raises(UserError, match="has no image to run yet"):
        request(made.stack(), LATE, "s", "boosting", 1)


def test_a_name_that_is_too_long_for_sagemaker_is_reported(made):
    with pytest.raises(UserError, match="has 32 characters at most"):
        job_name(made.stack().model_copy(update={"project": "a" * 24}), "s")


@pytest.fixture
def searching(cloud, made):  # noqa: F811
    """A platform on an environment with an image, and data to learn from."""
    made.publish(with_image(cloud.profile.stack))
    fresh = cloud.changed({})
    fresh.run("feature", FeatureParams(start=HISTORY, end=NOW), "history")
    return fresh


def test_a_search_from_a_laptop_ends_in_a_judged_model(function, searching, made):  # noqa: F811
    """The emulator makes no trials, so their records are written here as the jobs would."""
    invoke = CliRunner().invoke
    given = ["sweep", "boosting", "--on", "aws", "--as-of", f"{NOW:%Y-%m-%d}", "--workers", "2", "--run-id", "s"]
    told = invoke(app, given)
    assert told.exit_code == 0, told.output
    assert "next: mlops follow search --run-id s" in told.output
    assert "next: mlops follow training --run-id s-best" in told.output
    for _ in range(2):  # what SageMaker Pipelines would run; again it starts no second job
        assert searching.runner.run(pipeline("search"), "s").estimator == "boosting"
    name = searching.runner.output(pipeline("search"), "tune", "s").job
    job = made.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] == 2
    ended = {
        "detail-type": "SageMaker HyperParameter Tuning Job State Change",
        "detail": {"HyperParameterTuningJobName": name, "HyperParameterTuningJobStatus": "Completed"},
    }
    with pytest.raises(UserError, match="no trial of 's' was finished"):
        function(ended, None)
    for count, score in ((3, 0.5), (20, 0.25)):
        keep_trial(searching.objects, "s", Trial(settings={"max_iter": count}, score=score))
    for _ in range(2):  # an event may come twice
        assert function(ended, None) == {"run_id": "s-best"}
    training = pipeline("training")
    params = searching.runner.params(training, "s-best")
    assert params.settings == {"boosting": {"max_iter": 20}}
    candidate = searching.runner.run(training, "s-best")
    manifest = searching.models.manifest(candidate.model)
    assert manifest.settings["max_iter"] == 20
    assert {gate.gate for gate in manifest.gates} >= {"absolute_quality", "onnx_parity"}
    assert searching.aws.executions.outcome(searching.runner, training, "s-best").status == "succeeded"


def test_a_tuning_job_of_somebody_else_is_reported(function):  # noqa: F811
    with pytest.raises(UserError, match="no run of this environment started the tuning job 'x'"):
        function({"detail-type": handler.__globals__["TUNED"], "detail": {"HyperParameterTuningJobName": "x"}}, None)


def test_a_network_trains_on_the_instances_meant_for_it(searching, made, monkeypatch):
    from pipelines.entrypoints.launch import start_elsewhere
    from pipelines.training import TrainingParams

    stack = with_image(searching.profile.stack, training=TrainingResources(gpu_instance="ml.g5.xlarge", instances=2))
    made.publish(stack)
    platform, training = searching.changed({}), pipeline("training")
    arns = {}
    for estimator in ("boosting", "network"):
        platform.runner.start(training, TrainingParams(as_of=NOW, reason="test", estimators=(estimator,)), estimator)
        arns[estimator] = start_elsewhere(platform, training, estimator)
    asked = {}
    for estimator, arn in arns.items():
        answer = made.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
        asked[estimator] = {one["Name"]: one["Value"] for one in answer["PipelineParameters"]}
    cpu = {"RunId": "boosting", "TrainingInstance": "ml.m5.xlarge", "TrainingInstances": "1"}
    assert asked["boosting"] == cpu
    assert asked["network"] == {"RunId": "network", "TrainingInstance": "ml.g5.xlarge", "TrainingInstances": "2"}
