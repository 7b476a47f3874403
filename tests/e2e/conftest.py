"""The command line as people and workflows use it: a process of its own."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3

from pipelines.bootstrap import Platform
from tests.conftest import PROBLEMS, ROOT


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def suggested(self, command: str) -> list[str]:
        """Return the arguments of ``mlops`` for a command that was suggested as the next one."""
        (found,) = (line.partition("mlops ")[2] for line in self.out.splitlines() if f"uv run mlops {command}" in line)
        return shlex.split(found)


class Mlops:
    """``mlops`` with a home of its own."""

    def __init__(self, home: Path, problem: str = PROBLEMS[0]) -> None:
        self.home = home
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RATCHET_", "COV_"))},
            "RATCHET_HOME": str(home),
            "RATCHET_RELEASES": str(home / "releases"),
            "RATCHET_PROBLEM": problem,
            "RATCHET_CLOCK": "requests",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str) -> Done:
        command = [sys.executable, "-m", "pipelines.entrypoints.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, in_group: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipelines.entrypoints.cli", *arguments]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=in_group,
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=300, help="how long the soak test loads the serving app")


@pytest.fixture
def mlops(tmp_path: Path) -> Mlops:
    return Mlops(tmp_path / "home")


class Served(NamedTuple):
    """A running ``mlops serve`` and where it listens."""

    process: subprocess.Popen[str]
    port: int
    mlops: Mlops

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(home: Path, *arguments: str, ready: bool = True, **settings: object) -> Iterator[Served]:
    """Run ``mlops serve`` on a home, with arguments and settings, from when it is ready, or else alive."""
    mlops = Mlops(home)
    mlops.environ |= {f"RATCHET_{name.upper()}": str(value) for name, value in settings.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = Served(mlops.start("serve", "--port", str(port), *arguments), port, mlops)
    try:
        wait_until_up(served.url, ready)
        yield served
    finally:
        served.process.terminate()
        served.process.communicate(timeout=30)


@pytest.fixture
def serving(released: Platform) -> Iterator[Callable[..., Served]]:
    """Run ``mlops serve`` as :func:`running` does, on a home in which version 1 is released, until the test ends."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(running(released.home, *arguments, **settings))


def wait_until_up(url: str, ready: bool = True) -> None:
    """Wait until a serving app answers: that it is ready, with a release, or else that it is alive."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = urllib3.request("GET", f"{url}/ping" if ready else f"{url}/live", retries=False, timeout=5)
            if not ready or answer.json()["release"]:
                return
        except urllib3.exceptions.HTTPError:
            pass
        assert time.monotonic() < deadline, "the app does not answer"
        time.sleep(0.05)
