"""The serving app as ASGI: SageMaker's container contract (``/ping``, ``/invocations``), metrics and OpenAPI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.feature.decode import JSON
from pipelines.ports import Unavailable
from pipelines.serving import formats
from pipelines.serving.limits import Gate, in_time
from pipelines.serving.openapi import document
from pipelines.serving.problems import HTTPProblem, problem, response
from pipelines.serving.service import NoRelease, Service
from pipelines.settings import Settings
from pipelines.spec import UserError

_INLINE_BYTES = 8192
"""A body of up to about this many bytes, some 50 rows of JSON, is answered sooner than a thread takes it over."""

_THREADS, _REMOTE_THREADS = 2, 32
"""How many requests are computed beside the event loop; more where each waits for a remote store."""

_FAILURES = (HTTPException, HTTPProblem, NoRelease, UserError, Unavailable, Exception)


class App:
    """The handlers, of one service."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service, self._gate = service, Gate(settings)
        self._contract = msgspec.json.encode(document(service.problem.statement, settings))
        threads = _REMOTE_THREADS if service.remote else _THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def ping(self, _: Request) -> Response:
        """Say that the app lives, and which release it serves."""
        number = self._service.release.number if self._service.release else None
        return Response(msgspec.json.encode({"status": "ok", "release": number}), media_type=JSON)

    async def invocations(self, request: Request) -> Response:
        """Answer a request body with predictions."""
        with self._gate.admitted() as deadline:
            answer_type = formats.accepted(request.headers.get("accept"))
            explained = _explained(request, answer_type)
            content_type = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
            body = await self._gate.body(request)
            await asyncio.sleep(0)  # all that have arrived are counted before the first of them is computed

            def answer() -> bytes:
                in_time(deadline)
                return formats.encode(self._service.predict(body, content_type, explained), answer_type)

            content = answer() if self._at_once(body, explained) else await self._in_thread(answer)
        closing = {"Connection": "close"} if request.app.state.draining else None
        return Response(content, media_type=answer_type, headers=closing)

    def _at_once(self, body: bytes, explained: bool) -> bool:
        """Say whether an answer waits for nothing and is computed sooner than a thread takes it over."""
        waits = self._service.remote or self._service.log.full
        return len(body) <= _INLINE_BYTES and not explained and not waits

    async def _in_thread(self, answer: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer)

    async def metrics(self, _: Request) -> Response:
        """Return what was counted."""
        self._service.metrics.pending.set(self._service.pending)
        return Response(self._service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def contract(self, _: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(self._contract, media_type=JSON)

    async def failed(self, _: Request, error: Exception) -> Response:
        """Answer an exception as a problem."""
        told = problem(error)
        self._service.metrics.refused.labels(str(told.status)).inc()
        return response(told)


def create_app(service: Service, settings: Settings, stop: Callable[[], None] = lambda: None) -> Starlette:
    """Return the app; while it runs it looks for new releases every ``poll_seconds``; at its end it calls ``stop``."""
    app = App(service, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.refresh)
        polling = asyncio.create_task(_poll(service, settings.poll_seconds))
        yield
        polling.cancel()
        await asyncio.to_thread(service.close)
        await asyncio.to_thread(stop)

    made = Starlette(
        routes=[
            Route("/ping", app.ping),
            Route("/invocations", app.invocations, methods=["POST"]),
            Route("/metrics", app.metrics),
            Route("/openapi.json", app.contract),
        ],
        exception_handlers=dict.fromkeys(_FAILURES, app.failed),
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False
    made.state.draining = False
    return made


def _explained(request: Request, answer_type: str) -> bool:
    """Say whether ``?explain`` asks for explanations.

    Raises:
        HTTPProblem: 400 when it is neither true nor false, 406 when the format of the answer has no room for them.
    """
    given = request.query_params.get("explain", "false")
    if given not in {"true", "false"}:
        raise HTTPProblem(400, "Not a valid request", f"explain={given}: write explain=true or explain=false.")
    if given == "true" and answer_type != JSON:
        raise HTTPProblem(406, "Not acceptable", f"Explanations are {JSON} alone; leave out explain or accept that.")
    return given == "true"


async def _poll(service: Service, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(service.refresh)
        service.metrics.pending.set(service.pending)
