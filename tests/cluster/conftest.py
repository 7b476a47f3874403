"""What the tests on a cluster share: images, an emulator that pods can reach, and environments of their own."""

import shutil
import subprocess

import boto3
import pytest

from tests.cloud.emulator import VARIABLES, running_emulator
from tests.cloud.provision import making
from tests.cluster.cluster import BUILD, HOST, built, kubectl
from tests.conftest import make_platform


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
