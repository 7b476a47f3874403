"""The local environment from nothing to the whole loop, with what goes wrong on the way; on a real cluster.

The figures are written to ``build/local.json``, which docs/local.md states.
"""

import json
import os
import subprocess
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import urllib3

from infra.tools import local
from pipelines.bootstrap import pipeline
from pipelines.config import AllAtOnce, CanaryStrategy, Variant
from pipelines.continuous_training import ContinuousTrainingParams
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, roll_back
from pipelines.feature import FeatureParams
from pipelines.monitor import MonitorParams
from pipelines.training import TrainingParams
from tests.cloud.emulator import VARIABLES, free_port
from tests.cluster.cluster import BASE, HOST, PREPARE, RESTART, ROOT, built, got, image, kubectl
from tests.cluster.memory import Watching
from tests.conftest import HISTORY, NOW, make_platform
from tests.e2e.load import until
from tests.problems import parcels

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the emulator outlives its starter
]

DAY = timedelta(days=1)
SINCE_STRIKE = parcels.STRIKE + 4 * DAY
CANARY = CanaryStrategy(steps=(0.5,), bake=DAY)
EMULATOR = "http://localhost:4566"


class Figures(dict[str, Any]):
    """What was measured, written down as soon as it is known."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build/local.json").write_text(json.dumps(self, indent=1) + "\n")


@pytest.fixture(scope="module")
def given():
    """The configuration of the stack: images that are on the node, and no Grafana, of which there is none."""
    images = {"serve": built("serve"), "steps": built("steps"), "grafana": None}
    for name in ("prometheus", "alertmanager"):
        images[name] = f"localhost/{name}:test"
        program = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}[name]
        image(images[name], "monitoring.Dockerfile", BASE=BASE, TARGET=program)
    return {"infra:emulator": f"http://{HOST}:4566", "infra:images": json.dumps(images)}


@pytest.fixture(scope="module")
def environment(given, tmp_path_factory):
    """The platform of the local environment, made before and removed after."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": EMULATOR}.items():
            patch.setenv(name, value)
        names = local.wanted_local({**given, "infra:secrets": json.dumps(local.fresh())}).names
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(name, names.region)
        figures, began = Figures(), time.monotonic()
        local.up(given, EMULATOR, seconds=0)
        until(lambda: all(one["status"].get("phase") == "Bound" for one in got("pvc", "-n", names.prefix)["items"]), 60)
        subprocess.run(PREPARE, shell=True, check=True)
        for one in got("deployments", "-n", names.prefix)["items"]:
            name = one["metadata"]["name"]
            kubectl("rollout", "status", f"deployment/{name}", "-n", names.prefix, "--timeout=600s")
        figures["seconds from up to ready"] = round(time.monotonic() - began)
        home = tmp_path_factory.mktemp("here")
        platform = make_platform(home, profile="kubernetes", project=names.project, environment=names.environment)
        with Watching(names.prefix, figures):
            yield platform, names.prefix, figures, began
        began = time.monotonic()
        local.down(given, EMULATOR)
        figures["seconds of down"] = round(time.monotonic() - began)


def ran(platform, name, params, run_id, seconds=300):
    """Run a pipeline as a Job; return its last step's output."""
    chosen = pipeline(name)
    platform.runner.start(chosen, params, run_id)
    platform.executions.start(chosen, run_id)
    return result(platform, name, run_id, seconds)


def result(platform, name, run_id, seconds=300):
    chosen = pipeline(name)

    def outcome():
        return platform.executions.outcome(platform.runner, chosen, run_id)

    until(lambda: outcome().status != "executing", seconds)
    assert outcome().status == "succeeded", outcome()
    return platform.runner.output(chosen, list(chosen.steps)[-1], run_id)


def deployed(platform, candidate, strategy, moment, run_id, override=None):
    """Propose, approve and deploy a candidate, the last as a Job."""
    released = Variant(model=candidate.model, version=candidate.version)
    file = propose_model(platform.models, platform.releases.state(), released, strategy, override)
    propose(platform.release_target, Actor("tester", moment), file)
    approve(platform.release_target, Actor("reviewer", moment), file)
    ran(platform, "deployment", DeploymentParams(release=file, as_of=moment, who="tester"), run_id)


class Clients:
    """Clients in a pod outside of the environment's namespace, as another team's would be."""

    def __init__(self, namespace: str, image_name: str, seconds: int) -> None:
        self.name = f"load-{int(time.time())}"
        url = f"http://serving.{namespace}.svc:8080"
        container = {
            "name": "load",
            "image": image_name,
            "imagePullPolicy": "Never",
            "command": ["python", "-m", "tests.cluster.load", url, str(seconds)],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}]}
        metadata = {"name": self.name, "namespace": "default"}
        kubectl("create", "-f-", given={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        until(lambda: self._phase() in ("Running", "Succeeded"), 60)
        time.sleep(10)  # until it has imported what it needs

    def told(self) -> dict[str, Any]:
        until(lambda: self._phase() in ("Succeeded", "Failed"), 300)
        lines = kubectl("logs", self.name).splitlines()
        kubectl("delete", "pod", self.name, "--wait=false")
        return json.loads(lines[-1])

    def _phase(self) -> str:
        return got("pod", self.name)["status"]["phase"]


@pytest.fixture(scope="module")
def under_load(given, environment):
    """Have clients ask while something is done, and write down how it went."""
    _, namespace, figures, _ = environment
    serve = json.loads(given["infra:images"])["serve"]

    @contextmanager
    def loaded(what, seconds):
        clients = Clients(namespace, serve, seconds)
        began = time.monotonic()
        told: dict[str, Any] = {}
        yield told
        spent = time.monotonic() - began
        told |= clients.told()
        assert spent < seconds, f"{what} took {spent:.0f} s, longer than the load"
        figures[what] = {
            **{name: told[name] for name in ("asked", "versions", "p50_ms", "p99_ms", "longest_ms")},
            "lost": len(told["lost"]),
            "lost with one retry": len(told["lost_twice"]),
            "seconds": round(spent),
        }

    return loaded


@contextmanager
def forwarded(namespace, service, port):
    """The URL of a service for this machine.

    kubectl ends when a pod refuses it, and after a restart a pod counts as ready a while before it is: it is asked anew.
    """
    here = free_port()
    url = f"http://127.0.0.1:{here}"
    command = ["kubectl", "port-forward", "-n", namespace, f"service/{service}", f"{here}:{port}"]
    started: list[subprocess.Popen[bytes]] = []

    def answers():
        if not started or started[-1].poll() is not None:
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        try:
            return urllib3.request("GET", f"{url}/", retries=False, timeout=5)
        except urllib3.exceptions.HTTPError:
            return None

    try:
        until(answers, 120)
        yield url
    finally:
        started[-1].kill()  # it would wait for connections that are kept open
        started[-1].wait()


def asked(url, body):
    """Ask the app by a connection of its own: a forwarded one that the app has closed would hang."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    with urllib3.PoolManager() as pool:
        return pool.request("POST", f"{url}/invocations", body=body, headers=headers, timeout=30, retries=False)


def pods(namespace, component="serving"):
    label = f"app.kubernetes.io/component={component}"
    return [one["metadata"]["name"] for one in got("pods", "-n", namespace, "-l", label)["items"]]


def ready(namespace):
    """Wait until there are as many pods as are wanted, which under load may be more than two, and no others."""
    kubectl("rollout", "status", "deployment/serving", "-n", namespace, "--timeout=180s")

    def settled():
        serving = got("deployment", "serving", "-n", namespace)
        return len(pods(namespace)) == serving["status"].get("readyReplicas") == serving["spec"]["replicas"]

    until(settled, 120)


# The tests go on where the one before them ended.


def test_a_model_is_trained_as_a_job_whose_pod_is_killed_and_released(environment):
    platform, namespace, figures, began = environment
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
        reply = asked(url, msgspec.json.encode(_plain(parcels.read("parcels", NOW, NOW + DAY))[0]))
        assert reply.status == 200, reply.data
    figures["seconds from up to a served model"] = round(time.monotonic() - began)


def test_a_rolling_update_loses_no_request(environment, under_load):
    _, namespace, _, _ = environment
    with under_load("rolling update", 60) as told:
        kubectl("rollout", "restart", "deployment/serving", "-n", namespace)
        ready(namespace)
    assert told["lost"] == []
    assert told["asked"] > 500


def test_a_pod_that_is_deleted_loses_no_request(environment, under_load):
    _, namespace, _, _ = environment
    with under_load("pod deleted", 45) as told:
        kubectl("delete", "pod", "-n", namespace, pods(namespace)[0])
        ready(namespace)
    assert told["lost"] == []


def test_killed_processes_lose_no_request_of_a_client_that_asks_again(environment, under_load):
    """A process that answers is killed by SIGKILL in one pod, then another pod is ended without any grace."""
    _, namespace, _, _ = environment
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


def test_a_strike_ends_in_a_canary_of_a_new_model_that_is_rolled_back(environment, under_load):
    platform, namespace, figures, _ = environment
    kubectl("set", "env", "deployment/serving", "RATCHET_CLOCK=requests", "-n", namespace)  # the strike is long ago
    ready(namespace)
    with forwarded(namespace, "serving", 8080) as url:
        for day in range((SINCE_STRIKE - parcels.STRIKE) // DAY):
            at = parcels.STRIKE + day * DAY
            platform.run("feature", FeatureParams(start=at - DAY, end=at), f"feature-{at:%Y%m%d}")
            body = msgspec.json.encode({"instances": _plain(parcels.read("parcels", at, at + DAY))})
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
def test_a_node_that_restarts_serves_again_and_knows_its_runs(environment):
    _, namespace, figures, _ = environment
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


def _plain(table):
    rows = table.drop_columns(["recipient"]).to_pylist()
    return [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
