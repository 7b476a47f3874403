"""What infrastructure provisions of the pipelines is committed, current, and a request that SageMaker's model takes."""

import json
import os
import re
import subprocess
import sys

import boto3
import pytest
from botocore.validate import ParamValidator

from monitoring.alarms import Measurements
from monitoring.measures import measures
from pipelines.adapters.aws.definition import definition
from pipelines.bootstrap import pipeline
from pipelines.contracts.rendered import Rendered, filled, training_places
from pipelines.contracts.stack import TrainingResources
from pipelines.monitor.alarm import rendered_alarms
from pipelines.orchestration.catalog import PIPELINES
from tests.cloud.emulator import ROOT
from tests.conftest import NOW

RENDERED = Rendered.from_json((ROOT / "infra/rendered/pipelines.json").read_bytes())
REQUESTS = {"Processing": "CreateProcessingJob", "Training": "CreateTrainingJob"}
PLACES = {
    "project": "parcels",
    "environment": "dev",
    "region": "eu-west-1",
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/parcels@sha256:" + "a" * 64,
    "role": "arn:aws:iam::123456789012:role/parcels-dev-jobs",
    "bucket": "parcels-dev-store",
    "key": "arn:aws:kms:eu-west-1:123456789012:key/1",
    **training_places(TrainingResources()),
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
}


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
@pytest.mark.parametrize(
    "training", [TrainingResources(), TrainingResources(spot=False, warm_minutes=10)], ids=["spot", "warm"]
)
def test_a_step_is_a_request_that_botocore_takes(name, training):
    for step in RENDERED.pipelines[name].definition["Steps"]:
        assert problems(step, {**PLACES, **training_places(training)}) == []


def trains(**training):
    """The request of the training job of an environment."""
    steps = {step["Name"]: step["Arguments"] for step in RENDERED.pipelines["training"].definition["Steps"]}
    return filled(steps["train"], {**PLACES, **training_places(TrainingResources(**training))})


def test_a_spot_training_job_is_waited_for_and_resumes_from_checkpoints():
    job = trains(max_hours=3)
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 10_800, "MaxWaitTimeInSeconds": 21_600}
    assert "KeepAlivePeriodInSeconds" not in job["ResourceConfig"]
    assert job["CheckpointConfig"]["LocalPath"] == job["Environment"]["RATCHET_CHECKPOINTS"]
    assert job["CheckpointConfig"]["S3Uri"]["Std:Join"]["Values"][0] == "s3://parcels-dev-store/checkpoints"


def test_a_job_off_spot_is_not_waited_for_and_may_keep_instances_warm():
    job = trains(spot=False, warm_minutes=10)
    assert job["EnableManagedSpotTraining"] is False
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 14_400}
    assert job["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert "KeepAlivePeriodInSeconds" not in trains(spot=False)["ResourceConfig"]


def test_the_alarms_that_are_committed_are_those_of_the_monitors():
    assert RENDERED.alarms == rendered_alarms(), "run 'mlops render' and commit"


def test_each_alarm_is_on_a_metric_that_the_monitors_send():
    measured = Measurements(as_of=NOW, model="m", version=1)
    sent = {(measure.name, *measure.labels.items()) for measure in measures(measured, [])}
    assert {(alarm.metric, *alarm.dimensions.items()) for alarm in RENDERED.alarms.values()} <= sent


def test_a_request_that_is_wrong_is_found():
    step = json.loads(json.dumps(RENDERED.pipelines["training"].definition["Steps"][0]))
    del step["Arguments"]["ProcessingResources"]
    step["Arguments"]["Memory"] = 1
    assert len(problems(step)) == 2


def problems(step, places=PLACES):
    """What botocore's model of SageMaker finds wrong with a step's request, and places that nothing fills."""
    operation = REQUESTS[step["Type"]]
    model = boto3.session.Session(region_name="eu-west-1").client("sagemaker").meta.service_model
    given = {**resolved(filled(step["Arguments"], places)), operation.removeprefix("Create") + "Name": "job"}
    report = ParamValidator().validate(given, model.operation_model(operation).input_shape)
    errors = [line for line in report.generate_report().splitlines() if line]
    return errors + re.findall(r"\{\{.*?\}\}", json.dumps(given))


def resolved(document):
    """A request with values for what SageMaker fills in when it runs."""
    if document == {"Get": "Parameters.TrainingInstances"}:
        return 2
    if isinstance(document, dict):
        return "text" if document.keys() & {"Get", "Std:Join"} else {k: resolved(v) for k, v in document.items()}
    return [resolved(item) for item in document] if isinstance(document, list) else document


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("boto3", ["status"], "the profile 'aws' needs boto3: run 'uv sync --extra aws'"),
        ("sagemaker", ["render"], "'mlops render' needs sagemaker.core: run 'uv sync --extra render'"),
    ],
)
def test_packages_that_are_not_installed_are_reported(monkeypatch, module, arguments, told):
    """In a process of its own, for what is imported once stays."""
    hidden = f"import sys; sys.modules[{module!r}] = None; from pipelines.entrypoints.cli.__main__ import main; main()"
    environment = {**os.environ, "RATCHET_PROFILE": "aws"}
    command = [sys.executable, "-c", hidden, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in " ".join(done.stderr.split())


def test_the_embedded_profile_needs_no_package_of_a_cloud(tmp_path):
    hidden = "import sys; sys.modules |= dict.fromkeys(['boto3', 'botocore', 'sagemaker', 'moto'])"
    code = f"{hidden}; from pipelines.entrypoints.cli.__main__ import main; main()"
    command = [sys.executable, "-c", code, "--home", str(tmp_path), "status"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "next: mlops run feature" in done.stdout
