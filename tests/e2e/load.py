"""Load on a running app, and what can be seen of it from outside."""

import contextlib
import http.client
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import urllib3

from pipelines.feature.decode import JSON
from pipelines.serving.server import DRAIN_SECONDS
from tests.conftest import NOW, make_platform
from tests.e2e.conftest import Served
from tests.problems import parcels

ROWS = parcels.read("parcels", NOW, NOW.replace(day=27)).to_pylist()


def one(number: int = 0) -> bytes:
    return msgspec.json.encode(ROWS[number % len(ROWS)])


def several(count: int, start: int = 0) -> bytes:
    return msgspec.json.encode({"instances": [ROWS[number % len(ROWS)] for number in range(start, start + count)]})


def ask(served: Served, path: str = "/invocations", body: bytes | None = None) -> urllib3.BaseHTTPResponse:
    method = "GET" if body is None else "POST"
    return urllib3.request(method, served.url + path, body=body, retries=False, timeout=30)


def metric(served: Served, name: str) -> float:
    lines = ask(served, "/metrics").data.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def until(done: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logged(served: Served) -> list[dict[str, Any]]:
    """The rows of the prediction log, with their ids and versions."""
    log = make_platform(served.mlops.home).predictions
    found = log.read(NOW, NOW.replace(day=28), ["answered_at", "prediction_id", "version", "release"])
    return [] if found is None else found.drop_columns("answered_at").to_pylist()


def logged_ids(served: Served) -> set[str]:
    return {row["prediction_id"] for row in logged(served)}


def workers(served: Served) -> set[int]:
    """The processes that answer."""
    found = subprocess.run(["pgrep", "-P", str(served.process.pid)], capture_output=True, text=True, check=False)
    return set(map(int, found.stdout.split()))


class Ask(NamedTuple):
    """A request that is sent again and again."""

    body: bytes
    content_type: str = JSON
    path: str = "/invocations"


class Answer(NamedTuple):
    """One answered row, with when its request was sent and answered, by the clock ``time.monotonic``."""

    sent: float
    when: float
    name: str
    version: int


class Clients:
    """Clients that keep their connections and ask on and on; each kind of outcome is counted.

    Refused is what the server never had: a request that is cut while it is sent, or one over a connection that is new,
    which only the system had taken, or that was idle for all of a drain, when the server may close it. Each client sends
    its request, pauses, and stops at the first failed connection unless it ``insists``.
    """

    def __init__(self, served: Served, asks: Iterable[bytes | Ask], pause: float = 0.0, insists: bool = False) -> None:
        self.served, self.pause, self.insists, self.asking = served, pause, insists, True
        self.outcomes: Counter[int | str] = Counter()
        self.answers: list[Answer] = []
        self.answered: dict[http.client.HTTPConnection, float] = {}
        self.problems: list[dict[str, Any]] = []
        given = [one if isinstance(one, Ask) else Ask(one) for one in asks]
        self.threads = [threading.Thread(target=self._ask, args=(each,)) for each in given]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.asking = False
        for thread in self.threads:
            thread.join(30)

    def _ask(self, given: Ask) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        with contextlib.closing(connection):
            while self.asking and (self._ask_once(connection, given) or self.insists):
                time.sleep(self.pause)

    def _ask_once(self, connection: http.client.HTTPConnection, given: Ask) -> bool:
        """Ask, over the connection that is open or a new one; say whether it held."""
        taken = connection.sock is not None
        sent = time.monotonic()
        try:
            try:
                connection.request("POST", given.path, given.body, {"Content-Type": given.content_type})
                taken = taken and time.monotonic() - self.answered.get(connection, sent) < DRAIN_SECONDS
            except ConnectionError:
                taken = False
                raise
            reply = connection.getresponse()
            content = msgspec.json.decode(reply.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.outcomes["refused" if not taken and isinstance(error, ConnectionError) else type(error).__name__] += 1
            return False
        self.answered[connection] = time.monotonic()
        self.outcomes[reply.status] += 1
        if reply.status != 200:
            self.problems.append(content)
            return True
        now = time.monotonic()
        rows = content.get("predictions", [content])
        self.answers += [Answer(sent, now, row["prediction_id"], row["model_version"]) for row in rows]
        return True
