"""The serving app: SageMaker's container contract (``/ping``, ``/invocations``) and ``/metrics``, as ASGI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.serving.service import NoRelease, Service
from pipelines.spec import UserError


def create_app(service: Service, poll_seconds: float) -> Starlette:
    """Return the app; it looks for a new release every ``poll_seconds`` while it runs."""

    async def ping(_: Request) -> Response:
        number = service.release.number if service.release else None
        return _json({"status": "ok", "release": number})

    async def invocations(request: Request) -> Response:
        try:
            answers = service.predict(await request.body())
        except NoRelease as error:
            return _problem(service, 503, "No release", str(error))
        except UserError as error:
            return _problem(service, 400, "Not a valid request", str(error))
        return _json(answers)

    async def metrics(_: Request) -> Response:
        service.metrics.pending.set(service.pending)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.refresh)
        polling = asyncio.create_task(_poll(service, poll_seconds))
        yield
        polling.cancel()
        await asyncio.to_thread(service.close)

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/invocations", invocations, methods=["POST"]),
            Route("/metrics", metrics),
        ],
        lifespan=lifespan,
    )


async def _poll(service: Service, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(service.refresh)


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _problem(service: Service, status: int, title: str, detail: str) -> Response:
    """Return an error as RFC 9457 describes."""
    service.metrics.refused.labels(str(status)).inc()
    content = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(content, status_code=status, media_type="application/problem+json")
