"""Runs the serving app in one process or several, and stops it without failing a request or losing a prediction.

The worker processes accept from one socket. On SIGTERM the parent tells the workers to drain: for a moment each answer
closes its connection, so that no request is on its way to a closing connection. Then a worker accepts no new
connection, answers the requests it has, writes its prediction log and exits. A worker that dies is replaced.
"""

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipelines.config import UserError
from pipelines.serving.connections import PeerLimit, affordable
from pipelines.storage.ports import Unavailable

HEADER_SECONDS = 10
"""How long a connection may take to send the headers of a request, its first one and any later one."""

DRAIN_SECONDS = 0.5
"""How long the workers close connections with their answers before they stop accepting."""

STOP_SECONDS = 20
"""How long a worker may take to stop; one that had just started may have missed the signal."""

_LOST = (
    "a process did not stop as it should: what it had answered and not written is missing from the prediction log, or "
    "spilled; what it said before tells how much and why, unless it was killed"
)

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which prometheus_client, at its import, finds the folder where processes share their metrics."""


def serve(
    make_app: Callable[[], Any], host: str, port: int, workers: int, connections: int = 1024, per_peer: int = 512
) -> None:
    """Serve the ASGI app, which each worker creates for itself, until SIGTERM or SIGINT, over HTTP/1.

    A worker calls the app's method ``drain`` shortly before it stops. It has so many connections at once, in all and
    of each peer; those beyond wait in the system's queue, or are closed. HTTP/2 is off: its streams would be another
    way to many requests at once, and with it the server waits for the first bytes of a connection for ever.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    class Draining(Server):  # type: ignore[misc, valid-type]
        def shutdown(self, exit_code: int = 0) -> None:
            for worker in self.wrks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.inner.pid, signal.SIGUSR1)
            time.sleep(DRAIN_SECONDS)
            workers = self.wrks.copy()
            super().shutdown(exit_code)
            codes = [worker.inner.exitcode for worker in workers]
            if any(code not in {0, -signal.SIGTERM} for code in codes):  # one that SIGTERM ended had not served yet
                raise Unavailable(_LOST)

    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # inherited: a worker that gets the signal before it listens goes on
    with metrics_of(workers):
        Draining(
            "mlops",
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            workers=workers,
            websockets=False,
            http=HTTPModes.http1,
            backpressure=affordable(connections),
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_SECONDS,
        ).serve(target_loader=partial(_load, make_app, os.getpid(), PeerLimit(port, per_peer)), wrap_loader=False)


def refuse_busy(host: str, port: int) -> None:
    """Raise unless an address can be listened on; two apps on one port would share its connections in silence.

    Raises:
        UserError: saying why not.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not held by connections that just ended
            probe.bind((host, port))
    except OSError as error:
        told = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise UserError(f"{told}; stop what does, or pass another --host or --port") from error


def is_local(host: str) -> bool:
    """Say whether only this machine reaches an address; a name other than ``localhost`` may be any."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def metrics_of(workers: int) -> Iterator[None]:
    """Let several processes add up their metrics, in a folder of their own."""
    if workers == 1:
        yield
        return
    folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix="mlops-metrics-")
    try:
        yield
    finally:
        del os.environ[METRICS_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def _load(make_app: Callable[[], Any], parent: int, limit: PeerLimit) -> Any:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it serves; the parent's handler, inherited, would do nothing
    _stop_without(parent)
    app = make_app()
    limit.start()
    signal.signal(signal.SIGUSR1, lambda *_: app.drain())
    return app


def _stop_without(parent: int) -> None:
    """Stop this worker, as SIGTERM does, when its parent is gone and cannot signal it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
