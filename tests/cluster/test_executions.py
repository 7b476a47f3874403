"""Runs as Jobs: submitted, watched, killed, cancelled, resumed; on a real cluster."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from pipelines.adapters.kubernetes.executions import job_name
from pipelines.bootstrap import pipeline
from pipelines.config import UserError
from pipelines.entrypoints.cli.__main__ import app
from pipelines.feature import FeatureParams
from pipelines.orchestration.executions import ComputeRequest
from pipelines.training import TrainingParams
from tests.cluster.cluster import TORCH, got, kubectl
from tests.cluster.conftest import template
from tests.conftest import HISTORY, NOW
from tests.contract.executions import keeps_its_promises
from tests.e2e.load import until

pytestmark = pytest.mark.cluster

FEATURE, TRAINING = pipeline("feature"), pipeline("training")
DAYS, FIRST = FeatureParams(start=HISTORY, end=NOW), TrainingParams(as_of=NOW, reason="test")


@pytest.fixture
def namespace(environment):
    return environment.executions.namespace


def outcome(platform, chosen, run_id):
    return platform.executions.outcome(platform.runner, chosen, run_id)


def ended(platform, chosen, run_id, seconds=180):
    until(lambda: outcome(platform, chosen, run_id).status != "executing", seconds)
    return outcome(platform, chosen, run_id)


def test_jobs_keep_what_every_place_promises(environment):
    keeps_its_promises(environment)


def test_a_run_is_submitted_once_and_resumes_after_a_kill(environment, namespace):
    platform = environment
    platform.runner.start(FEATURE, DAYS, "history")
    with ThreadPoolExecutor(4) as several:
        names = set(several.map(lambda _: platform.executions.start(FEATURE, "history"), range(4)))
    assert names == {job_name("history")}
    assert len(got("jobs", "-n", namespace)["items"]) == 1
    assert ended(platform, FEATURE, "history").status == "succeeded"
    platform.runner.start(TRAINING, FIRST, "First.run")
    platform.executions.start(TRAINING, "First.run")
    until(lambda: platform.runner.record("First.run", "extract"), 120)
    (pod,) = got("pods", "-n", namespace, "-l", f"run={job_name('First.run')}")["items"]
    kubectl("delete", "pod", pod["metadata"]["name"], "-n", namespace, "--grace-period=0", "--force")
    before = platform.runner.record("First.run", "extract")
    assert ended(platform, TRAINING, "First.run").status == "succeeded"
    assert platform.runner.record("First.run", "extract") == before
    assert len(got("jobs", "-n", namespace)["items"]) == 2
    candidate = platform.runner.output(TRAINING, list(TRAINING.steps)[-1], "First.run")
    assert platform.models.manifest(candidate.model).code.commit == "c" * 40
    platform.objects.write(f"runs/First.run/extract/{next(iter(before.outputs))}", b"{}")
    told = outcome(platform, TRAINING, "First.run")
    assert (told.status, told.reason[:19]) == ("failed", "the Job is Complete")


def test_a_run_that_failed_says_why_and_resumes_when_it_is_submitted_again(environment, namespace):
    platform = environment
    platform.runner.start(TRAINING, FIRST, "early")
    first = platform.executions.start(TRAINING, "early")
    told = ended(platform, TRAINING, "early")
    assert told.status == "failed"
    record = platform.runner.record("early", "extract")
    assert told.reason == f"extract: {record.error}"
    uid = got("job", first, "-n", namespace)["metadata"]["uid"]
    platform.runner.run(FEATURE, platform.runner.start(FEATURE, DAYS, "history"))
    with ThreadPoolExecutor(3) as several:
        assert set(several.map(lambda _: platform.executions.start(TRAINING, "early"), range(3))) == {first}
    assert got("job", first, "-n", namespace)["metadata"]["uid"] != uid
    assert ended(platform, TRAINING, "early").status == "succeeded"


def test_what_holds_a_pod_and_what_ended_it_are_reported(environment, namespace, steps_image):
    platform = environment

    def started(name, image, memory="1Gi"):
        data = {"data": {"job.json": template(image, memory)}}
        kubectl("patch", "configmap", "job", "-n", namespace, "-p", json.dumps(data))
        platform.runner.start(FEATURE, DAYS, name)
        platform.executions.start(FEATURE, name)

    started("nowhere", "localhost/no-such-image:1")
    until(lambda: outcome(platform, FEATURE, "nowhere").reason.startswith("ErrImageNeverPull"), 30)
    assert outcome(platform, FEATURE, "nowhere").status == "executing"
    started("large", steps_image, "1000Gi")
    until(lambda: "Insufficient memory" in outcome(platform, FEATURE, "large").reason, 30)
    started("small", steps_image, "60Mi")
    told = ended(platform, FEATURE, "small")
    assert told.status == "failed"
    assert re.match(r"extract: OOMKilled: exit code 137", told.reason)


def test_commands_start_follow_and_cancel_a_run(environment, namespace, monkeypatch):
    platform = environment
    for name, value in platform.settings.variables().items():
        monkeypatch.setenv(name, value)
    invoke = CliRunner().invoke
    days = ["--set", f"start={HISTORY:%Y-%m-%d}", "--set", f"end={NOW:%Y-%m-%d}"]
    started = invoke(app, ["run", "feature", "--on", "kubernetes", "--run-id", "history", *days])
    assert started.exit_code == 0, started.output
    assert "started history on Kubernetes" in started.output
    assert invoke(app, ["cancel", "--run-id", "history"]).exit_code == 0
    assert got("jobs", "-n", namespace)["items"] == got("pods", "-n", namespace)["items"] == []
    refused = invoke(app, ["follow", "feature", "--run-id", "history"])
    assert "run 'history' has no Job" in str(refused.exception)
    again = invoke(app, ["run", "feature", "--on", "kubernetes", "--run-id", "history"])
    assert again.exit_code == 0, again.output
    followed = invoke(app, ["follow", "feature", "--run-id", "history", "--wait", "--json"])
    assert json.loads(followed.output)["status"] == "succeeded", followed.output


def test_several_pods_of_a_job_know_their_place_and_find_the_first(environment, namespace):
    """Without torch in the image each pod says that it needs it, after it has its number and the first one's name."""
    platform = environment
    meeting_point(namespace)
    platform.run("feature", DAYS, "history")  # so that the first works while the second says what it lacks
    platform.runner.start(TRAINING, FIRST, "together")
    name = platform.executions.start(TRAINING, "together", ComputeRequest(machines=2))
    job = got("job", name, "-n", namespace)["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 2, 2)
    until(lambda: len(got("pods", "-n", namespace, "-l", f"run={name}")["items"]) >= 2, 60)
    pods = got("pods", "-n", namespace, "-l", f"run={name}")["items"]
    assert {pod["spec"]["hostname"] for pod in pods} == {f"{name}-0", f"{name}-1"}
    assert {pod["spec"]["subdomain"] for pod in pods} == {"training"}
    second = next(pod["metadata"]["name"] for pod in pods if pod["spec"]["hostname"].endswith("-1"))
    until(lambda: "--extra torch" in " ".join(platform.executions.log(second)), 60)


@pytest.mark.skipif(not TORCH, reason="CLUSTER_TORCH names a folder of the node with torch's packages")
def test_pods_of_a_job_train_one_network_together(environment, namespace, steps_image):
    """torchrun in two pods, which meet by the Service; torch comes from the node, so that no image has to hold it."""
    platform = environment
    meeting_point(namespace)
    job = json.loads(template(steps_image, "3Gi"))
    pod = job["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "torch", "hostPath": {"path": TORCH}})
    pod["containers"][0]["volumeMounts"].append({"name": "torch", "mountPath": "/torch", "readOnly": True})
    pod["containers"][0]["env"] = [{"name": "PYTHONPATH", "value": "/app:/torch"}]
    kubectl("patch", "configmap", "job", "-n", namespace, "-p", json.dumps({"data": {"job.json": json.dumps(job)}}))
    platform.run("feature", DAYS, "history")
    small = {"network": {"epochs": 2, "width": 16, "blocks": 1, "bins": 4, "batch_rows": 256}}
    params = TrainingParams(as_of=NOW, reason="together", estimators=("network",), settings=small)
    platform.runner.start(TRAINING, params, "network")
    name = platform.executions.start(TRAINING, "network", ComputeRequest(machines=2))
    assert ended(platform, TRAINING, "network", 400).status == "succeeded"
    assert got("job", name, "-n", namespace)["status"]["completedIndexes"] in ("0,1", "0-1")
    log = platform.runner.record("network", "train").log
    assert sum("trained processes=2" in line for line in log) == 1, log


def meeting_point(namespace):
    """Make the headless Service by which pods find the first one."""
    service = {"clusterIP": "None", "selector": {"pipeline": "training"}, "publishNotReadyAddresses": True}
    metadata = {"name": "training", "namespace": namespace}
    kubectl("create", "-f-", given={"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})


def test_what_the_cluster_lacks_is_reported(environment, namespace):
    platform = environment
    platform.runner.start(TRAINING, FIRST, "run")
    with pytest.raises(UserError, match=r"no gpu.json: its settings name no GPU"):
        platform.executions.start(TRAINING, "run", ComputeRequest(gpu=True))
    kubectl("delete", "configmap", "job", "-n", namespace)
    with pytest.raises(UserError, match="no ConfigMap 'job'; run 'make local-up'"):
        platform.executions.start(TRAINING, "run")


def test_a_cluster_that_is_not_there_is_reported(environment, monkeypatch, tmp_path):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no cluster is configured"):
        _ = environment.executions
