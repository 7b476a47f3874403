"""The local environment on a cluster, as several files of tests make it anew: its stack, its runs, load on its app."""

import json
import subprocess
import time
from contextlib import contextmanager
from typing import Any

import urllib3

from pipelines.bootstrap import pipeline
from pipelines.config import Variant
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose
from tests.cloud.emulator import free_port
from tests.cluster.cluster import BASE, HOST, ROOT, built, got, image, kubectl
from tests.e2e.load import until

EMULATOR = "http://localhost:4566"


class Figures(dict[str, Any]):
    """What was measured, written down as soon as it is known, into ``build/<file>.json``."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._path = ROOT / f"build/{file}.json"

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self, indent=1) + "\n")


def configuration() -> dict[str, str]:
    """Return the configuration of the stack: images that are on the node, and no Grafana, of which there is none."""
    images = {"serve": built("serve"), "steps": built("steps"), "grafana": None}
    for name in ("prometheus", "alertmanager"):
        images[name] = f"localhost/{name}:test"
        program = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}[name]
        image(images[name], "monitoring.Dockerfile", BASE=BASE, TARGET=program)
    return {"infra:emulator": f"http://{HOST}:4566", "infra:images": json.dumps(images)}


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

    def stop(self) -> None:
        """Have them stop before their time."""
        kubectl("exec", self.name, "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")

    def told(self) -> dict[str, Any]:
        until(lambda: self._phase() in ("Succeeded", "Failed"), 300)
        lines = kubectl("logs", self.name).splitlines()
        kubectl("delete", "pod", self.name, "--wait=false")
        return json.loads(lines[-1])

    def _phase(self) -> str:
        return got("pod", self.name)["status"]["phase"]


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


def plain(table):
    rows = table.drop_columns(["recipient"]).to_pylist()
    return [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
