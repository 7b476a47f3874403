"""The local environment from nothing to the whole loop, with what goes wrong on the way; on a real cluster.

The figures are written to ``build/local.json``, which docs/local.md states.
"""

import json
import os
import subprocess
import time
from datetime import timedelta

import msgspec
import pytest
import urllib3

from pipelines.bootstrap import pipeline
from pipelines.config import AllAtOnce, CanaryStrategy
from pipelines.continuous_training import ContinuousTrainingParams
from pipelines.deployment.transitions import Actor, roll_back
from pipelines.feature import FeatureParams
from pipelines.monitor import MonitorParams
from pipelines.training import TrainingParams
from tests.cluster.cluster import RESTART, kubectl
from tests.cluster.environment import asked, deployed, forwarded, plain, pods, ran, ready, result
from tests.conftest import HISTORY, NOW
from tests.e2e.load import until
from tests.problems import parcels

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the emulator outlives its starter
]

DAY = timedelta(days=1)
SINCE_STRIKE = parcels.STRIKE + 4 * DAY
CANARY = CanaryStrategy(steps=(0.5,), bake=DAY)


# The tests go on where the one before them ended.


def test_a_model_is_trained_as_a_job_whose_pod_is_killed_and_released(local_environment):
    platform, namespace, figures, began = local_environment
    ran(platform, "feature", FeatureParams(start=HISTORY, end=NOW, online_as_of=NOW), "history")
    training = pipeline("training")
    platform.runner.start(training, TrainingParams(as_of=NOW, reason="first"), "first")
    job = platform.executions.start(training, "first")
    until(lambda: platform.runner.record("first", "extract"), 120)
    kubectl("delete", "pod", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={job}", "--grace-period=1")
    before = platform.runner.record("first", "extract")
    candidate = result(platform, "training", "first")
    assert platform.runner.record("first", "extract") == before
    assert candidate.accepted
    deployed(platform, candidate, AllAtOnce(), NOW, "release-1")
    with forwarded(namespace, "serving", 8080) as url:
        until(lambda: json.loads(urllib3.request("GET", f"{url}/ping").data)["release"], 60)
        reply = asked(url, msgspec.json.encode(plain(parcels.read("parcels", NOW, NOW + DAY))[0]))
        assert reply.status == 200, reply.data
    figures["seconds from up to a served model"] = round(time.monotonic() - began)


def test_a_rolling_update_loses_no_request(local_environment, under_load):
    _, namespace, _, _ = local_environment
    with under_load("rolling update", 60) as told:
        kubectl("rollout", "restart", "deployment/serving", "-n", namespace)
        ready(namespace)
    assert told["lost"] == []
    assert told["asked"] > 500


def test_a_pod_that_is_deleted_loses_no_request(local_environment, under_load):
    _, namespace, _, _ = local_environment
    with under_load("pod deleted", 45) as told:
        kubectl("delete", "pod", "-n", namespace, pods(namespace)[0])
        ready(namespace)
    assert told["lost"] == []


def test_killed_processes_lose_no_request_of_a_client_that_asks_again(local_environment, under_load):
    """A process that answers is killed by SIGKILL in one pod, then another pod is ended without any grace."""
    _, namespace, _, _ = local_environment
    kill = "import os; others = [int(n) for n in os.listdir('/proc') if n.isdigit() and int(n) not in (1, os.getpid())]"
    kill += "; print(*others); [os.kill(one, 9) for one in others]"
    first, second = pods(namespace)[:2]
    with under_load("processes killed", 60) as told:
        assert kubectl("exec", "-n", namespace, first, "--", "python", "-c", kill).split(), (
            "a process was there to kill"
        )
        time.sleep(15)
        kubectl("delete", "pod", "-n", namespace, second, "--grace-period=0", "--force")
        ready(namespace)
    assert told["lost_twice"] == []


def test_a_strike_ends_in_a_canary_of_a_new_model_that_is_rolled_back(local_environment, under_load):
    platform, namespace, figures, _ = local_environment
    kubectl("set", "env", "deployment/serving", "RATCHET_CLOCK=requests", "-n", namespace)  # the strike is long ago
    ready(namespace)
    with forwarded(namespace, "serving", 8080) as url:
        for day in range((SINCE_STRIKE - parcels.STRIKE) // DAY):
            at = parcels.STRIKE + day * DAY
            platform.run("feature", FeatureParams(start=at - DAY, end=at), f"feature-{at:%Y%m%d}")
            body = msgspec.json.encode({"instances": plain(parcels.read("parcels", at, at + DAY))})
            assert asked(url, body).status == 200
    platform.run("feature", FeatureParams(start=NOW, end=SINCE_STRIKE + DAY), "labels")
    until(lambda: platform.predictions.read(parcels.STRIKE, SINCE_STRIKE).num_rows >= 350, 30)
    began, at = time.monotonic(), SINCE_STRIKE + DAY
    report = ran(platform, "monitor", MonitorParams(as_of=at), "monitor")
    assert any(alarm.retrain for alarm in report.alarms)
    outcome = ran(platform, "continuous_training", ContinuousTrainingParams(as_of=at), "again")
    figures["seconds from alarm to a new candidate"] = round(time.monotonic() - began)
    assert outcome.model != platform.releases.state().champion.model
    with under_load("canary and rollback", 90) as told:
        deployed(platform, outcome, CANARY, at, "release-2", None if outcome.accepted else "a test of the canary")
        time.sleep(15)
        roll_back(platform.release_target, Actor("tester", at), "a test")
        time.sleep(10)
    assert told["lost"] == []
    assert told["versions"][str(outcome.version)] > 50
    with under_load("after the rollback", 20) as told:
        pass
    assert set(told["versions"]) == {"1"}


@pytest.mark.skipif(not RESTART, reason="CLUSTER_RESTART says how the node is restarted")
def test_a_node_that_restarts_serves_again_and_knows_its_runs(local_environment):
    _, namespace, figures, _ = local_environment
    began = time.monotonic()
    subprocess.run(RESTART, shell=True, check=True, env=os.environ, capture_output=True)
    ready(namespace)
    with forwarded(namespace, "serving", 8080) as url:
        until(lambda: json.loads(urllib3.request("GET", f"{url}/ping").data)["release"], 60)
    figures["seconds from the node's restart to a served model"] = round(time.monotonic() - began)
    kubectl("rollout", "status", "deployment/mlflow", "-n", namespace, "--timeout=180s")
    with forwarded(namespace, "mlflow", 5000) as url:
        found = urllib3.request(
            "GET", f"{url}/api/2.0/mlflow/registered-models/search", headers={"Host": "localhost:5000"}
        )
    assert b"parcel" in found.data, found.data
