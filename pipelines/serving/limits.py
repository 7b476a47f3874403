"""The limits of one process of the app: how many requests at once, how large, and for how long."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.serving.problems import LATER, HTTPProblem
from pipelines.settings import Settings

Receive = Callable[[], Awaitable[Any]]
"""Gives the next message of a request, as ASGI has it."""

_CLOSE = {"Connection": "close"}  # what was not read of a body is not read as the next request either

_NO_ROOM = "The bodies that are arriving take all the memory that they may; ask again later."

_DRAINED_BYTES = 64 * 2**20


class Unread(HTTPProblem):
    """A problem with a body of which the client may still be sending the rest."""


class AdmissionControl:
    """Counts the requests that are being answered, reads their bodies, and refuses what is too much or too late."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inside = self._held = 0

    @contextmanager
    def admitted(self) -> Iterator[float]:
        """Admit a request whose body is there and yield its deadline, on the clock of :func:`time.monotonic`.

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
        """Return the body without its encoding, reading at most the allowed bytes for at most the allowed time.

        Raises:
            HTTPProblem: 413 when it is too large, 408 when it does not arrive in time, 400 when the connection closes
                or the body is not gzip as it says, 415 when it has another encoding.
        """
        limit, seconds = self._settings.max_body_bytes, self._settings.deadline_seconds
        decoded = _decoder(headers, limit)
        if int(headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        chunks, size, more = [], 0, True
        room = limit * self._settings.max_concurrency
        try:
            async with asyncio.timeout(seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise HTTPProblem(400, "Incomplete", "The connection closed before the whole body arrived.")
                    more = message.get("more_body", False)
                    chunks.append(decoded(message.get("body", b""), not more))
                    size += len(chunks[-1])
                    self._held += len(chunks[-1])
                    if self._held > room:
                        raise Unread(429, "Too many requests", _NO_ROOM, _CLOSE | LATER)
                    if size > limit:
                        raise _too_large(limit)
        except TimeoutError as error:
            late = f"The body did not arrive within {seconds:g} s; send it faster, or fewer rows in each request."
            raise HTTPProblem(408, "Too slow", late, _CLOSE) from error
        finally:
            self._held -= size
        return b"".join(chunks)


async def drained(receive: Receive, seconds: float) -> None:
    """Read what is left of a refused body, for some time and bytes; a client that is cut off loses the answer."""
    left = _DRAINED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _decoder(headers: Mapping[bytes, bytes], limit: int) -> Callable[[bytes, bool], bytes]:
    """Return what decodes a body's pieces, each with whether it is the last, to little more than ``limit`` bytes."""
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding in {"", "identity"}:
        return lambda piece, _: piece
    if encoding not in {"gzip", "x-gzip"}:
        told = f"Content-Encoding {encoding!r} is none of bodies; send gzip, or leave it out."
        raise Unread(415, "Unsupported content encoding", told, _CLOSE | {"Accept-Encoding": "gzip"})
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def decoded(piece: bytes, last: bool) -> bytes:
        try:
            found = gzip.decompress(piece, limit + 1)
        except zlib.error as error:
            raise _not_gzip(str(error)) from error
        if gzip.unconsumed_tail:
            raise _too_large(limit)
        if gzip.unused_data or (last and not gzip.eof):
            raise _not_gzip("it goes on after its end" if gzip.eof else "it ends early")
        return found

    return decoded


def _not_gzip(reason: str) -> Unread:
    told = f"The body is not gzip, as its Content-Encoding says: {reason}."
    return Unread(400, "Not a valid request", told, _CLOSE)


def _too_large(limit: int) -> Unread:
    return Unread(413, "Too large", f"A body may have {limit:,} bytes; send fewer rows in each.", _CLOSE)


def in_time(deadline: float) -> None:
    """Raise unless a request is computed before its deadline.

    Raises:
        HTTPProblem: 503, because the app, not the client, is behind.
    """
    if time.monotonic() > deadline:
        raise HTTPProblem(503, "Too busy", "The request waited too long for its turn; ask again later.", LATER)
