"""The serving app as ASGI: SageMaker's container contract (``/ping``, ``/invocations``), metrics and OpenAPI."""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.feature.decode import JSON
from pipelines.serving.callers import Callers
from pipelines.serving.instances import Announcer
from pipelines.serving.invocations import Invocations
from pipelines.serving.openapi import document
from pipelines.serving.service import PredictionService
from pipelines.settings import Settings

_INVOCATIONS = "/invocations"


class ServingApp:
    """The app of one service; it looks for a new release every ``poll_seconds`` while it runs; ``stop`` is its end.

    ``announcer`` tells what it serves.
    """

    def __init__(
        self,
        service: PredictionService,
        settings: Settings,
        announcer: Announcer,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._service, self._settings, self._announcer, self._stop = service, settings, announcer, stop
        self._contract = msgspec.json.encode(document(service.problem.config, settings))
        self._callers = Callers(settings.callers) if settings.callers else None
        self._invocations = Invocations(service, settings, self._callers)
        self._starlette = Starlette(
            routes=[
                Route("/live", self._live),
                Route("/ready", self._ready),
                Route("/ping", self._ready),  # SageMaker's name for it
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
                Route(_INVOCATIONS, self._invocations, methods=["POST"]),
            ],
            exception_handlers=dict.fromkeys((HTTPException, Exception), self._failed),
            lifespan=self._lifespan,
        )
        self._starlette.router.redirect_slashes = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer an ASGI request: predictions directly, everything else by the framework."""
        if scope["type"] == "http" and scope["path"] == _INVOCATIONS and scope["method"] == "POST":
            await self._invocations(scope, receive, send)
        else:
            await self._starlette(scope, receive, send)

    def drain(self) -> None:
        """Close the connection with each answer from now on, because the app will soon stop."""
        self._invocations.draining = True

    async def _live(self, _: Request) -> Response:
        """Say that the app lives, so that to start it anew would mend nothing."""
        return Response(msgspec.json.encode({"status": "ok"}), media_type=JSON)

    async def _ready(self, _: Request) -> Response:
        """Say whether requests can be answered, and by which release; 503 when they cannot."""
        unready = self._service.unready
        number = self._service.release.number if self._service.release else None
        content = msgspec.json.encode({"status": unready or "ok", "release": number})
        return Response(content, status_code=503 if unready else 200, media_type=JSON)

    async def _metrics(self, _: Request) -> Response:
        """Answer the metrics."""
        self._service.metrics.pending.set(self._service.pending)
        return Response(self._service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _openapi(self, _: Request) -> Response:
        """Answer the OpenAPI document."""
        return Response(self._contract, media_type=JSON)

    async def _failed(self, _: Request, error: Exception) -> Response:
        """Answer an exception as a problem."""
        return self._invocations.refused(error)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(self._follow)
        gc.freeze()  # what is loaded stays: a collection need not look at it, which takes tens of milliseconds
        polling = asyncio.create_task(self._poll())
        yield
        polling.cancel()
        lost = await asyncio.to_thread(self._service.close)
        await asyncio.to_thread(self._announcer.try_to_say, self._service.standing, True)
        if self._stop:
            await asyncio.to_thread(self._stop)
        if lost:
            os._exit(1)  # the server below has no other way to end a worker with a code

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            await asyncio.to_thread(self._follow)
            self._service.metrics.pending.set(self._service.pending)

    def _follow(self) -> None:
        """Take the latest release and the callers, and tell what is served and what could be."""
        if self._callers:
            self._callers.follow()
        self._service.refresh()
        self._announcer.try_to_answer(self._service.unservable)
        self._announcer.try_to_say(self._service.standing)
