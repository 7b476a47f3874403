"""A Kubernetes cluster as the tests are given it, and kubectl.

``KUBECONFIG`` names the cluster, ``CLUSTER_HOST`` this machine as its pods call it, ``CLUSTER_BUILD`` the command that
builds ``TAG DIR ARG…`` as ``docker build --tag`` does and leaves the image on the cluster's node, ``CLUSTER_BASE`` the
base image, ``CLUSTER_PREPARE`` a command that opens volumes where the cluster makes them for root alone, and
``CLUSTER_RESTART`` the command that restarts the node, ``CLUSTER_TORCH`` a folder of the node with torch's packages.
With ``CLUSTER_KEEP`` the images of the run before are used.
"""

import json
import os
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.definitions import edited

ROOT = Path(__file__).parent.parent.parent
HOST = os.environ.get("CLUSTER_HOST", "host.minikube.internal")
BUILD = shlex.split(os.environ.get("CLUSTER_BUILD", ""))
BASE = os.environ.get("CLUSTER_BASE", "python:3.11-slim-bookworm")
KEEP = bool(os.environ.get("CLUSTER_KEEP"))
PREPARE = os.environ.get("CLUSTER_PREPARE", "")
TORCH = os.environ.get("CLUSTER_TORCH", "")
RESTART = os.environ.get("CLUSTER_RESTART", "")


def kubectl(*arguments: str, given: Any = None) -> str:
    """Run kubectl, with a manifest on standard input if one is given, and return what it prints."""
    text = json.dumps(given) if given is not None else None
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def got(*arguments: str) -> Any:
    """Return what kubectl gets, as JSON."""
    return json.loads(kubectl("get", *arguments, "--output=json"))


@cache
def built(target: str) -> str:
    """Build a target of the project's Dockerfile, and on it the image of the tests; return its name."""
    project, name = f"localhost/project-{target}:test", f"localhost/tests-{target}:test"
    options = ["--target", target, "--build-arg", f"BASE={BASE}", "--build-arg", "REVISION=" + "c" * 40]
    _run([*BUILD, project, str(ROOT), *options])
    return image(name, "Dockerfile", IMAGE=project)


def image(name: str, file: str, **arguments: str) -> str:
    """Build an image of the tests from a file of this folder; return its name."""
    given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    _run([*BUILD, name, str(ROOT / "tests"), "--file", str(ROOT / "tests/cluster" / file), *given])
    return name


def changed(name: str, base: str, folder: Path, commit: str, *changes: tuple[str, str]) -> str:
    """Build an image of another commit, in which the problem of the tests was changed; return its name."""
    package = folder / edited(folder, *changes)
    (folder / "Dockerfile").write_text(
        f"FROM {base}\n"
        f"COPY {package.name}/parcels.py /app/tests/problems/\n"
        f"COPY {package.name}/problem.toml /app/tests/problems/late/\n"
        f"ENV RATCHET_COMMIT={commit}\n"
    )
    _run([*BUILD, name, str(folder)])
    return name


def _run(command: list[str]) -> None:
    if KEEP:
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr[-2000:]}"
