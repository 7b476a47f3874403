"""No process of the product opens a connection that its settings do not name: their system calls are traced."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Mlops, Served, wait_until_up
from tests.e2e.load import ROWS, ask, one, workers

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace traces the system calls")

SENT = "connect,sendto,sendmsg,sendmmsg"
ADDRESS = re.compile(r'sa_family=AF_INET6?\b.*?inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
ELSEWHERE = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"  # sends nothing
MUTED = ("ORT_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")


class Traced:
    """Runs commands on a home, and tells whom any process of theirs connected or sent to."""

    def __init__(self, mlops: Mlops, folder: Path) -> None:
        self.mlops, self.file = mlops, folder / "trace"

    def start(self, *command: str) -> "subprocess.Popen[str]":
        tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={SENT}", "-o", str(self.file)]
        return subprocess.Popen([*tracer, *command], cwd=ROOT, env=self.mlops.environ, text=True)

    @property
    def others(self) -> set[str]:
        """The addresses that are not this machine's own."""
        found = set(ADDRESS.findall(self.file.read_text()))
        return {address for address in found if not address.startswith("127.") and address != "::1"}


@pytest.fixture(scope="module")
def used(released_home, tmp_path_factory):
    """A home whose app was traced while it answered."""
    folder = tmp_path_factory.mktemp("traced")
    traced = Traced(Mlops(Path(shutil.copytree(released_home, folder / "home"))), folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = Served(traced.start(*command("serve", "--port", str(port))), port, traced.mlops)
    try:
        wait_until_up(served.url)
        for number in range(len(ROWS)):
            assert ask(served, "/invocations", one(number)).status == 200
        assert ask(served, "/invocations?explain=true", one()).status == 200
        time.sleep(5)
    finally:
        for process in workers(served):  # the child of strace
            os.kill(process, signal.SIGTERM)
        served.process.wait(60)
    return traced


def command(*arguments):
    return sys.executable, "-m", "pipelines.entrypoints.cli", *arguments


def test_the_trace_sees_a_connection_to_another_machine(released_home, tmp_path):
    traced = Traced(Mlops(released_home), tmp_path)
    traced.start(sys.executable, "-c", ELSEWHERE).wait(60)
    assert traced.others == {"192.0.2.1"}


@pytest.mark.parametrize("entry", ["cli.__main__", "container", "lambda_handler"])
def test_telemetry_is_off_before_a_library_is_imported(entry):
    environ = {name: value for name, value in os.environ.items() if name not in MUTED}
    found = f"import os, pipelines.entrypoints.{entry}; print([os.environ[name] for name in {MUTED}])"
    run = subprocess.run(
        [sys.executable, "-c", found], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "['1', 'true', '1']\n"


def test_the_app_connects_to_nobody(used):
    assert not used.others


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "training", "--set", "as_of=2024-02-25"],
        ["predict", "--as-of", "2024-02-20", "--output", "answers.parquet"],
        ["monitor", "--as-of", "2024-02-28"],
        ["status"],
        ["report", "--output", "report.html"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_command_connects_to_nobody(used, arguments, tmp_path):
    traced = Traced(used.mlops, tmp_path)
    given = [str(tmp_path / part) if "." in part else part for part in arguments]
    assert traced.start(*command(*given)).wait(240) in {0, 3}
    assert not traced.others
