"""The limits of one process of the app: how many requests at once, how large, and for how long."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.serving.problems import LATER, HTTPProblem
from pipelines.settings import Settings

Receive = Callable[[], Awaitable[Any]]
"""Gives the next message of a request, as ASGI has it."""

_CLOSE = {"Connection": "close"}  # what was not read of a body is not read as the next request either


class AdmissionControl:
    """Counts the requests that are being answered, reads their bodies, and refuses what is too much or too late."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inside = 0

    @contextmanager
    def admitted(self) -> Iterator[float]:
        """Admit a request and yield its deadline, on the clock of :func:`time.monotonic`.

        Raises:
            HTTPProblem: 429 when ``max_concurrency`` are admitted, so that clients notice an overload at once.
        """
        limit = self._settings.max_concurrency
        if self._inside >= limit:
            raise HTTPProblem(429, "Too many requests", f"{limit} requests are being answered; ask again later.", LATER)
        self._inside += 1
        try:
            yield time.monotonic() + self._settings.deadline_seconds
        finally:
            self._inside -= 1

    async def body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the body, reading at most the allowed bytes for at most the allowed time.

        Raises:
            HTTPProblem: 413 when it is too large, 408 when it does not arrive in time, 400 when the connection closes.
        """
        limit, seconds = self._settings.max_body_bytes, self._settings.deadline_seconds
        if int(headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        chunks, size, more = [], 0, True
        try:
            async with asyncio.timeout(seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise HTTPProblem(400, "Incomplete", "The connection closed before the whole body arrived.")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > limit:
                        raise _too_large(limit)
                    more = message.get("more_body", False)
        except TimeoutError as error:
            late = f"The body did not arrive within {seconds:g} s; send it faster, or fewer rows in each request."
            raise HTTPProblem(408, "Too slow", late, _CLOSE) from error
        return b"".join(chunks)


def _too_large(limit: int) -> HTTPProblem:
    return HTTPProblem(413, "Too large", f"A body may have {limit:,} bytes; send fewer rows in each.", _CLOSE)


def in_time(deadline: float) -> None:
    """Raise unless a request is computed before its deadline.

    Raises:
        HTTPProblem: 503, because the app, not the client, is behind.
    """
    if time.monotonic() > deadline:
        raise HTTPProblem(503, "Too busy", "The request waited too long for its turn; ask again later.", LATER)
