"""moto's server in a process of its own: an HTTP endpoint that answers for AWS."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import urllib3

ROOT = Path(__file__).parent.parent.parent
REGION = "eu-west-1"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What the AWS SDKs read, for an endpoint that believes everybody."""


@contextmanager
def running_emulator(host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Yield the URL of a moto server that runs meanwhile, and listens on an address of this machine."""
    port = port or free_port()
    command = [sys.executable, "-m", "tests.cloud.server", str(port), host]
    with subprocess.Popen(
        command,
        env={**os.environ, **VARIABLES, "MOTO_S3_DEFAULT_MAX_KEYS": "100", "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            retries = urllib3.Retry(total=200, backoff_factor=0.1, backoff_max=0.5)
            urllib3.PoolManager().request("GET", f"{url}/moto-api/", retries=retries)
            yield url
        finally:
            server.terminate()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass(frozen=True)
class Fault:
    """What happens to the next requests whose target, or method and path, contain ``matches``.

    ``kind`` is a method of :class:`tests.cloud.server.Faulty`; ``until`` is in seconds since 1970.
    """

    kind: str
    matches: str
    times: int = 1
    until: float = 1e12
    code: str = ""
    status: int = 400
    seconds: float = 0


def misbehave(url: str, *faults: Fault) -> None:
    """Have the emulator do these faults, and no earlier ones any more."""
    urllib3.request("POST", f"{url}/faults", body=json.dumps([asdict(fault) for fault in faults]))


def misbehaved(url: str) -> list[list[str]]:
    """Return the kind and the request of each fault that happened since they were set."""
    return json.loads(urllib3.request("GET", f"{url}/faults").data)  # type: ignore[no-any-return]
