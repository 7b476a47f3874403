"""The serving app as the demo uses it: a process of its own, asked over HTTP."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from pipelines.settings import Settings
from pipelines.spec import UserError

_START_SECONDS = 60


class App:
    """A client of a running serving app that counts what fails."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = self.failed = 0
        self._pool = urllib3.PoolManager(maxsize=1, retries=False)

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask for predictions of several rows in one request; a failed request counts and answers nothing."""
        self.requests += 1
        body = msgspec.json.encode({"instances": rows})
        try:
            reply = self._pool.request("POST", f"{self.url}/invocations", body=body)
        except urllib3.exceptions.HTTPError:
            self.failed += 1
            return []
        if reply.status != 200:
            self.failed += 1
            return []
        return msgspec.json.decode(reply.data)["predictions"]  # type: ignore[no-any-return]

    def wait_for(self, transition: int) -> None:
        """Wait until the app serves this transition of the release log."""
        self._until(lambda: self._ping() == transition, "serve the new release")

    def wait_for_log(self) -> None:
        """Wait until every prediction is in the log."""
        self._until(lambda: self._pending() == 0, "write its log")

    def wait_until_up(self) -> None:
        """Wait until the app answers."""

        def answers() -> bool:
            try:
                self._ping()
            except urllib3.exceptions.HTTPError:
                return False
            return True

        self._until(answers, "answer")

    def _ping(self) -> int | None:
        reply = self._pool.request("GET", f"{self.url}/ping")
        return msgspec.json.decode(reply.data)["release"]  # type: ignore[no-any-return]

    def _pending(self) -> float:
        text = self._pool.request("GET", f"{self.url}/metrics").data.decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith("prediction_log_pending ")))

    def _until(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise UserError(
                    f"the serving app did not {what} within {_START_SECONDS} s; see its log beside the demo"
                )
            time.sleep(0.005)


@contextmanager
def running_app(settings: Settings, log: Path) -> Iterator[App]:
    """Start the serving app on a free port, and stop it at the end; it may take a while to be up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(command, env={**os.environ, **settings.variables()}, stdout=file, stderr=file)
        try:
            yield App(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=30)
