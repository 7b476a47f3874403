"""The stack `local` as `make local-up` makes it where Pulumi is: its own engine and the real provider of Kubernetes.

It needs the cluster and the variables of :mod:`tests.cluster.cluster`, and the provider, which
``python -m tests.engine.build kubernetes`` builds in minutes. As AWS's provider makes nothing on the emulator, the
stores are made there beforehand.
"""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.local.emulator import start as start_emulator
from infra.local.emulator import stop
from infra.local.manifests import Cluster
from infra.local.secrets import fresh
from infra.local.stores import clients, make
from infra.program import stated, wanted_local
from infra.tools.recording import record
from tests.cloud.emulator import free_port
from tests.cluster.cluster import HOST, PREPARE, got
from tests.cluster.environment import configuration
from tests.engine.build import CLI, KUBERNETES, build
from tests.engine.conftest import check_out
from tests.engine.engine import Engine

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not os.environ.get("CLUSTER_BUILD"), reason="no cluster is named: docs/local.md"),
    pytest.mark.skipif(not KUBERNETES.file.exists(), reason="python -m tests.engine.build kubernetes was not run"),
]
AWAY = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE")
"""Variables that nobody sets who types `make local-up`."""


def prepare(done: threading.Event) -> None:
    """Open volumes as soon as they are there, until it is done: the engine waits for the pods that mount them."""
    while not done.wait(1):
        subprocess.run(PREPARE, shell=True, check=False, capture_output=True)


@pytest.fixture
def engine(built, start, tmp_path) -> Iterator[tuple[Engine, list[str]]]:
    """The engine beside an emulator that has the stores, and what the command line says of both."""
    build(CLI, KUBERNETES)
    check_out(tmp_path / "checkout")
    port = free_port()
    here, inside = f"http://localhost:{port}", f"http://{HOST}:{port}"
    given = {**stated("local"), **configuration(), "infra:emulator": inside}
    wanted = wanted_local({**given, "infra:secrets": json.dumps(fresh())})
    start_emulator(here, wanted.names.account, tmp_path)
    client = clients(here, wanted.names, "local", "local")
    record(wanted, made=lambda one: make(client, wanted.names, one))
    started = start(tmp_path)
    engine = replace(started, environ={**started.environ, "AWS_REGION": wanted.names.region})
    flags = [word for key in ("emulator", "images") for word in ("--set", f"{key}={given[f'infra:{key}']}")]
    done = threading.Event()
    opening = threading.Thread(target=prepare, args=[done], daemon=True)
    opening.start()
    try:
        yield engine, ["--emulator", here, *flags]
    finally:
        done.set()
        opening.join()
        Cluster(None).remove(wanted.names)
        stop(tmp_path)


def local(engine: Engine, verb: str, *arguments: str) -> dict[str, set[str]]:
    """Run a verb of the local environment; return the types of what Pulumi did each operation to, but the unchanged."""
    away = [word for name in AWAY for word in ("-u", name)]
    told = engine.run("env", *away, "python", "-m", "infra.tools.local", verb, *arguments, within=".")
    assert "without the Pulumi CLI" not in told
    found: dict[str, set[str]] = {}
    for mark, kind in re.findall(
        r"^ *(\+|~|-|\+-|\+\+|--) +kubernetes:(\S+) \S+ (?:creat|updat|delet|replac)ed", told, re.MULTILINE
    ):
        found.setdefault(mark, set()).add(kind.rpartition(":")[2])
    return found


def test_the_local_stack_comes_stays_changes_and_goes(engine):
    engine, flags = engine
    made = local(engine, "up", *flags)
    assert set(made) == {"+"} and {"Deployment", "Namespace", "NetworkPolicy", "CronJob"} <= made["+"]
    namespace = got("namespaces", "-l", "pod-security.kubernetes.io/enforce=restricted")["items"][0]["metadata"]["name"]
    deployments = got("deployments", "-n", namespace)["items"]
    assert {one["metadata"]["name"] for one in deployments} >= {"serving", "mlflow", "watch", "prometheus"}
    assert all(one["status"].get("readyReplicas") == one["spec"]["replicas"] for one in deployments)
    assert local(engine, "up", *flags) == {}
    assert local(engine, "up", *flags, "--set", "memory_gib=8") == {"~": {"ResourceQuota"}}
    assert not list((engine.checkout / ".ratchet/local").rglob("*.attrs"))
    assert set(local(engine, "down", *flags)) == {"-"}
    assert Cluster(None).left(wanted_local({**stated("local"), "infra:secrets": json.dumps(fresh())}).names) == []
