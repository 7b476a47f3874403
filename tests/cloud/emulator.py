"""moto's server in a process of its own: an HTTP endpoint that answers for AWS."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

REGION = "eu-central-1"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What the AWS SDKs read, for an endpoint that believes everybody."""


@contextmanager
def running_emulator() -> Iterator[str]:
    """Yield the URL of a moto server that runs meanwhile."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        command, env={**os.environ, **VARIABLES, "MOTO_S3_DEFAULT_MAX_KEYS": "100"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            retries = urllib3.Retry(total=30, backoff_factor=0.1, backoff_max=0.5)
            urllib3.PoolManager().request("GET", f"{url}/moto-api/", retries=retries)
            yield url
        finally:
            server.terminate()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
