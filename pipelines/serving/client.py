"""A client of the serving app, over HTTP."""

import time
from typing import Any

import msgspec
import urllib3

from pipelines.config import UserError

_WAIT_SECONDS = 60


class ServingClient:
    """A client of a running serving app, over one connection; counts failures and keeps the last reason."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.requests = self.failed = 0
        self.failure: str | None = None
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, headers=headers)

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask for predictions of several rows in one request; count a failed request and return no answers."""
        self.requests += 1
        try:
            status, answer = self._send(msgspec.json.encode({"instances": rows}))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return self._fail(str(error))
        if status != 200:
            return self._fail(f"status {status}: {answer.decode(errors='replace')[:500]}")
        return msgspec.json.decode(answer)["predictions"]  # type: ignore[no-any-return]

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

    def _send(self, body: bytes) -> tuple[int, bytes]:
        reply = self._pool.request("POST", f"{self.url}/invocations", body=body)
        return reply.status, reply.data

    def _fail(self, reason: str) -> list[dict[str, Any]]:
        self.failed += 1
        self.failure = reason
        return []

    def _ping(self) -> int | None:
        reply = self._pool.request("GET", f"{self.url}/ping")
        return msgspec.json.decode(reply.data)["release"]  # type: ignore[no-any-return]

    def _pending(self) -> float:
        text = self._pool.request("GET", f"{self.url}/metrics").data.decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith("prediction_log_pending ")))

    def _until(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise UserError(f"the serving app did not {what} within {_WAIT_SECONDS} s; see its log")
            time.sleep(0.005)
