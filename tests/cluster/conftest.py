"""What the tests on a cluster share: images, an emulator that pods can reach, and environments of their own."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from infra.tools import local
from tests.cloud.emulator import VARIABLES, running_emulator
from tests.cloud.provision import making
from tests.cluster.cluster import BUILD, HOST, PREPARE, built, got, kubectl
from tests.cluster.environment import EMULATOR, Clients, Figures, configuration
from tests.cluster.memory import Watching
from tests.conftest import make_platform
from tests.e2e.load import until


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """A cluster that answers; where there is none these tests fail, as whoever runs them meant them to run."""
    assert shutil.which("kubectl"), "kubectl is not installed: https://kubernetes.io/docs/tasks/tools"
    asked = subprocess.run(["kubectl", "get", "--raw=/readyz"], capture_output=True, text=True, check=False)
    assert asked.stdout == "ok", f"no cluster answers; start one and set KUBECONFIG: docs/local.md\n{asked.stderr}"
    assert BUILD, "set CLUSTER_BUILD to the command that builds images for the cluster: docs/local.md"


@pytest.fixture(scope="session")
def steps_image(cluster):
    return built("steps")


@pytest.fixture(scope="session")
def serve_image(cluster):
    return built("serve")


@pytest.fixture(scope="session")
def emulator_url():
    """The URL of an emulator that listens on all of this machine's addresses: pods reach it as well."""
    with running_emulator("0.0.0.0") as url:
        yield url


@pytest.fixture
def inside(emulator_url):
    """The emulator's URL, as pods reach it."""
    return f"http://{HOST}:{emulator_url.rpartition(':')[2]}"


@pytest.fixture
def made(emulator):
    with making(boto3.Session(), emulator) as resources:
        yield resources


@pytest.fixture
def environment(made, inside, steps_image, tmp_path):
    """A platform whose runs are Jobs of a namespace of its own, which has a template of them and settings alone."""
    stack = made.stack("local")
    namespace = f"{stack.project}-local"
    kubectl("create", "namespace", namespace)
    variables = {
        **VARIABLES,
        "AWS_ENDPOINT_URL": inside,
        "RATCHET_PROFILE": "kubernetes",
        "RATCHET_PROJECT": stack.project,
        "RATCHET_ENVIRONMENT": "local",
    }
    for name, data in {"settings": variables, "job": {"job.json": template(steps_image)}}.items():
        metadata = {"name": name, "namespace": namespace}
        kubectl("create", "-f-", given={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    yield make_platform(tmp_path, profile="kubernetes", project=stack.project, environment="local")
    kubectl("delete", "namespace", namespace, "--wait=false")


def template(image: str, memory: str = "1Gi") -> str:
    import json

    container = {
        "name": "step",
        "image": image,
        "imagePullPolicy": "Never",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "resources": {"limits": {"memory": memory}},
        "securityContext": {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}]}
    spec = {"backoffLimit": 2, "template": {"spec": pod}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "spec": spec})


@pytest.fixture(scope="module")
def given():
    return configuration()


@pytest.fixture(scope="module")
def local_environment(given, tmp_path_factory, request):
    """The platform of the local environment, made before and removed after."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": EMULATOR}.items():
            patch.setenv(name, value)
        names = local.wanted_local({**given, "infra:secrets": json.dumps(local.fresh())}).names
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(name, names.region)
        figures = Figures(request.module.__name__.rpartition("test_")[2])
        began = time.monotonic()
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


@pytest.fixture(scope="module")
def under_load(given, local_environment):
    """Have clients ask for a time, or with ``stop`` while something is done, and write down how it went."""
    _, namespace, figures, _ = local_environment
    serve = json.loads(given["infra:images"])["serve"]

    @contextmanager
    def loaded(what, seconds, stop=False):
        clients = Clients(namespace, serve, seconds)
        began = time.monotonic()
        told: dict[str, Any] = {}
        yield told
        spent = time.monotonic() - began
        if stop:
            clients.stop()
        told |= clients.told()
        assert spent < seconds, f"{what} took {spent:.0f} s, longer than the load"
        figures[what] = {
            **{name: told[name] for name in ("asked", "versions", "p50_ms", "p99_ms", "longest_ms")},
            "lost": len(told["lost"]),
            "lost with one retry": len(told["lost_twice"]),
            "seconds": round(spent),
        }

    return loaded
