"""The watch as ASGI: ``/ping``, ``/metrics`` for Prometheus, ``/alerts`` for Alertmanager, and a tick each minute."""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.config import UserError
from pipelines.entrypoints.watch.alerts import about_release, read, send_events
from pipelines.entrypoints.watch.metrics import WatchedStores
from pipelines.storage.ports import ObjectStore, Queue, Unavailable

log = logging.getLogger(__name__)

TICK_SECONDS = 60.0
_MOST_BYTES = 2**20  # of a message of Alertmanager


class WatchApp:
    """The app; the sender of alerts must show the ``token``, and ``tick`` judges the live release."""

    def __init__(
        self,
        stores: WatchedStores,
        events: Queue,
        objects: ObjectStore,
        environment: str,
        token: str,
        tick: Callable[[], object],
        seconds: float = TICK_SECONDS,
    ) -> None:
        self._stores, self._events, self._objects, self._environment = stores, events, objects, environment
        self._token, self._tick, self._seconds = token, tick, seconds
        self._registry, self._due = CollectorRegistry(), asyncio.Event()
        self._ticks = Counter("release_ticks", "Looks at the live release.", ["outcome"], registry=self._registry)
        for outcome in ("done", "failed"):  # a count that begins at its first event has no increase
            self._ticks.labels(outcome)
        self._taken = Counter("alert_events", "Events made of alerts.", registry=self._registry)
        self._starlette = Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/metrics", self._metrics),
                Route("/alerts", self._alerts, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer an ASGI request."""
        await self._starlette(scope, receive, send)

    def drain(self) -> None:
        """Keep answering until the server stops: clients of the watch retry."""

    async def _ping(self, _: Request) -> Response:
        """Answer that the watch is alive."""
        return JSONResponse({"status": "ok"})

    async def _metrics(self, _: Request) -> Response:
        """Return the watch's counters, and the metrics of the stores while they answer."""
        text = generate_latest(self._registry)
        try:
            text += generate_latest(await asyncio.to_thread(self._stores.read))
        except (Unavailable, OSError) as error:
            log.warning("metrics without the stores reason=%s", error)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def _alerts(self, request: Request) -> Response:
        """Take alerts: events for those that a new model could help with, a tick for those of the serving app.

        Alertmanager sends them again after any answer but 2xx.
        """
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return JSONResponse({"error": "the token is not that of this environment's Alertmanager"}, 401)
        body = await request.body()
        if len(body) > _MOST_BYTES:
            return JSONResponse({"error": f"more than {_MOST_BYTES} bytes"}, 413)
        try:
            group = read(body)
            sent = await asyncio.to_thread(send_events, group, self._events, self._objects, self._environment)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)
        except (Unavailable, OSError) as error:
            return JSONResponse({"error": str(error)}, 503)
        for trigger in sent:
            log.info("event kind=alert reason=%s", trigger.reason)
        self._taken.inc(len(sent))
        if about_release(group):
            self._due.set()
        return JSONResponse({"events": len(sent)})

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(self._tick_always())
        yield
        ticking.cancel()

    async def _tick_always(self) -> None:
        while True:
            self._due.clear()
            try:
                await asyncio.to_thread(self._tick)
                self._ticks.labels("done").inc()
            except Exception:  # the next minute is the retry; an alarm counts failures
                log.exception("the tick failed")
                self._ticks.labels("failed").inc()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), self._seconds)
