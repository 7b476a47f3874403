"""The connections of one process of the app: how many in all, and how many of each peer.

The server below caps them in all, and stops accepting at the cap; it has no cap for a peer, so a thread looks at the
process's sockets and shuts down what a peer has beyond its share, latest first. Where there is no ``/proc``, as on
macOS, only the cap in all holds.
"""

import contextlib
import os
import resource
import socket
import stat
import threading
import time
from collections import Counter
from pathlib import Path

_RESERVED = 256
"""Descriptors that are no connections: stores, the release log, the prediction log, libraries."""

_LOOK_SECONDS = 0.2

_INTERNET = (socket.AF_INET, socket.AF_INET6)

_OPEN = Path("/proc/self/fd")


def affordable(wanted: int) -> int:
    """Return how many connections a process may have: ``wanted``, or fewer where the system gives fewer descriptors.

    Raises the process's own limit as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + _RESERVED:
        soft = min(wanted + _RESERVED, hard) if hard != resource.RLIM_INFINITY else wanted + _RESERVED
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - min(_RESERVED, soft // 2)))


class PeerLimit:
    """Shuts down the latest connections to a port of each peer that has more than ``limit``."""

    def __init__(self, port: int, limit: int) -> None:
        self._port, self._limit = port, limit
        self._peers: dict[int, str | None] = {}

    def start(self) -> None:
        """Enforce the limit from now on, in a thread."""
        if _OPEN.exists():
            threading.Thread(target=self._run, name="peer-limit", daemon=True).start()

    def enforce(self) -> int:
        """Look once, and return how many connections were shut down."""
        seen: dict[int, str | None] = {}
        new: list[tuple[int, socket.socket]] = []
        for file in _OPEN.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found = file.stat()
                if found.st_ino in self._peers:
                    seen[found.st_ino] = self._peers[found.st_ino]
                elif stat.S_ISSOCK(found.st_mode):
                    new.append((found.st_ino, socket.socket(fileno=os.dup(int(file.name)))))
        counts = Counter(peer for peer in seen.values() if peer)
        shut = 0
        for inode, connection in new:
            with connection:
                seen[inode] = peer = self._peer(connection)
                if peer and counts[peer] >= self._limit:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                    seen[inode] = None  # it has no place, though the server may take a moment to close it
                    shut += 1
                elif peer:
                    counts[peer] += 1
        self._peers = seen
        return shut

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self.enforce()

    def _peer(self, connection: socket.socket) -> str | None:
        """Return the address that a connection to our port comes from, and None for any other socket."""
        with contextlib.suppress(OSError):
            if connection.family in _INTERNET and connection.getsockname()[1] == self._port:
                return str(connection.getpeername()[0])
        return None
