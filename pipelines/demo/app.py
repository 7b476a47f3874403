"""Runs the serving app for the demo, in a process of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.serving.client import ServingClient
from pipelines.settings import Settings


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(settings: Settings, log: Path) -> Iterator[ServingClient]:
    """Start the serving app on a free port, without waiting until it answers, and stop it at the end."""
    port = free_port()
    command = [sys.executable, "-m", "pipelines.entrypoints.cli", "serve", "--port", str(port)]
    environ = {**os.environ, **settings.variables(), "RATCHET_CLOCK": "requests"}  # it replays the past
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environ, stdout=file, stderr=file)
        try:
            yield ServingClient(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=30)
