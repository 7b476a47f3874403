"""``python -m infra.tools.local up`` and ``down``: the local environment, by Pulumi where it is, else without it.

Without the Pulumi CLI the very same program runs, its resources on AWS are made on the emulator one by one, and its
Kubernetes objects are applied by ``kubectl apply --server-side``. ``down`` removes all of it and looks that nothing
is left.
"""

import argparse
import json
import shutil
import time
from collections.abc import Mapping

from infra.local import leftovers
from infra.local.emulator import HERE, start, stop
from infra.local.environment import LocalWanted
from infra.local.manifests import Cluster, manifests
from infra.local.secrets import fresh
from infra.local.stores import Client, clients, make
from infra.program import LOCAL, NAMESPACE, ROOT, stated, wanted_local
from infra.tools.local_engine import by_pulumi
from infra.tools.recording import record
from pipelines.config.errors import UserError

FOLDER = ROOT / ".ratchet/local"
"""What started the emulator, and Pulumi's state, where no other place is named."""

RECLAIMED_SECONDS = 60  # a cluster takes volumes back some time after their claims are gone
SERVERS = ("mlflow", "serving", "watch", "prometheus", "alertmanager", "grafana")


def up(given: Mapping[str, str], here: str = HERE, seconds: int = 300, project: str | None = None) -> None:
    """Make the environment, and wait so many seconds at most until its servers are ready; 0 does not wait."""
    cluster = Cluster(given.get(f"{NAMESPACE}context"))
    wanted = with_secrets(given, cluster, project)
    if start(here, wanted.names.account, FOLDER):
        _say(f"started moto at {here}; what it holds ends with it")
    client = _clients(here, wanted)
    objects = manifests(record(wanted, made=lambda one: make(client, wanted.names, one)))
    cluster.apply(objects)
    _say(f"{len(objects)} objects in the namespace {wanted.names.prefix}")
    deployed = {one["metadata"]["name"] for one in objects if one["kind"] == "Deployment"}
    if seconds:
        began = time.monotonic()
        cluster.wait(wanted.names, [name for name in SERVERS if name in deployed], seconds)
        _say(f"ready after {time.monotonic() - began:.0f} s")


def down(given: Mapping[str, str], here: str = HERE, project: str | None = None) -> None:
    """Remove the environment.

    Raises:
        UserError: when something is left of it.
    """
    cluster = Cluster(given.get(f"{NAMESPACE}context"))
    wanted = with_secrets(given, cluster, project)
    cluster.remove(wanted.names)
    until = time.monotonic() + RECLAIMED_SECONDS
    while (left := cluster.left(wanted.names)) and time.monotonic() < until:
        time.sleep(1)
    if not stop(FOLDER):
        client = _clients(here, wanted)
        leftovers.remove(client, wanted.names)
        left += leftovers.left(client, wanted.names)
    if left:
        raise UserError(f"left: {', '.join(left)}")
    _say("nothing is left")


def with_secrets(given: Mapping[str, str], cluster: Cluster, project: str | None = None) -> LocalWanted:
    """Return what is wanted, with the secrets that are stated, else those that the cluster has, else new ones."""
    if f"{NAMESPACE}secrets" in given:
        return wanted_local(given, project=project)
    made = fresh()
    names = wanted_local({**given, f"{NAMESPACE}secrets": json.dumps(made)}, project=project).names
    found = {
        "alerts_token": cluster.secret(names, "alerts").get("token"),
        "grafana_password": cluster.secret(names, "grafana").get("password"),
    }
    made |= {name: value for name, value in found.items() if value}
    return wanted_local({**given, f"{NAMESPACE}secrets": json.dumps(made)}, project=project)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m infra.tools.local", description=__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="besides Pulumi.local.yaml")
    parser.add_argument("--emulator", default=HERE, metavar="URL", help=f"as this machine reaches it; {HERE}")
    parser.add_argument("--seconds", type=int, default=300, help="to wait for the servers; 0 does not wait")
    parser.add_argument("--without-pulumi", action="store_true", help="by kubectl although the CLI is there")
    arguments = parser.parse_args()
    given = stated(LOCAL)
    for one in arguments.set:
        key, _, value = one.partition("=")
        given[f"{NAMESPACE}{key.removeprefix(NAMESPACE)}"] = value
    try:
        if shutil.which("pulumi") and not arguments.without_pulumi:
            by_pulumi(arguments.verb, given, arguments.emulator, FOLDER)
        elif arguments.verb == "up":
            _say("without the Pulumi CLI: the program's resources are applied by kubectl and boto3")
            up(given, arguments.emulator, arguments.seconds)
        else:
            down(given, arguments.emulator)
    except UserError as error:
        _say(f"error: {error}")
        return 1
    return 0


def _clients(here: str, wanted: LocalWanted) -> Client:
    given = wanted.config.secrets
    return clients(here, wanted.names, given.access_key_id, given.secret_access_key)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
