"""``/invocations`` in plain ASGI, because a framework's routing, request and response cost more than the answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from pipelines.feature.decode import JSON
from pipelines.serving import formats
from pipelines.serving.callers import Callers
from pipelines.serving.limits import AdmissionControl, Receive, Unread, drained, in_time
from pipelines.serving.micro_batcher import MicroBatcher
from pipelines.serving.problems import HTTPProblem, problem, response
from pipelines.serving.service import PredictionService
from pipelines.settings import Settings

_INLINE_BYTES = 8192
"""A body of up to about this many bytes, some 50 rows of JSON, is answered faster than a thread could take it over."""

_THREADS, _REMOTE_THREADS = 2, 32
"""How many requests are computed beside the event loop; more where each waits for a remote store."""


class Invocations:
    """Answers request bodies with predictions, or with a problem when something fails.

    While ``draining``, each answer closes its connection. Without ``callers`` anyone may ask.
    """

    def __init__(self, service: PredictionService, settings: Settings, callers: Callers | None = None) -> None:
        self.draining, self._callers = False, callers
        self._service, self._settings, self._gate = service, settings, AdmissionControl(settings)
        self._together = MicroBatcher(service)
        threads = _REMOTE_THREADS if service.remote else _THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Answer an ASGI request with method POST."""
        try:
            content, media_type = await self._answer(scope, receive)
        except Exception as error:
            await self.refused(error)(scope, receive, send)
            if isinstance(error, Unread):
                await drained(receive, self._settings.deadline_seconds)
            return
        headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(content))]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def refused(self, error: Exception) -> Response:
        """Return an exception as a problem, and count it."""
        told = problem(error)
        self._service.metrics.refused.labels(str(told.status)).inc()
        return response(told)

    async def _answer(self, scope: Any, receive: Receive) -> tuple[bytes, str]:
        """Return the answer and its media type."""
        headers = dict(scope["headers"])
        if self._callers:
            name = self._callers.admit(headers.get(b"authorization"))
            self._service.metrics.callers.labels(name).inc()
        body = await self._gate.body(headers, receive)
        with self._gate.admitted() as deadline:
            answer_type = formats.accepted(headers.get(b"accept", b"*/*").decode("latin-1"))
            explained = _explained(scope["query_string"], answer_type)
            content_type = headers.get(b"content-type", JSON.encode()).decode("latin-1")
            content_type = content_type.partition(";")[0].strip().lower()
            if self._at_once(body, explained):
                answer = await self._together.predict(body, content_type, deadline)
                return formats.encode(answer, answer_type), answer_type
            await asyncio.sleep(0)  # all that have arrived are counted before the first of them is computed

            def compute() -> bytes:
                in_time(deadline)
                if self._settings.freezes:
                    self._service.refresh_when_due()
                self._service.log.make_room(deadline)
                answer = formats.encode(self._service.predict(body, content_type, explained), answer_type)
                if self._settings.freezes:
                    self._service.log.try_to_flush()
                return answer

            return await asyncio.get_running_loop().run_in_executor(self._threads, compute), answer_type

    def _at_once(self, body: bytes, explained: bool) -> bool:
        """Return whether an answer waits for no store and is computed faster than a thread could take it over."""
        waits = self._service.remote or self._settings.freezes or self._service.log.full
        return len(body) <= _INLINE_BYTES and not explained and not waits


def _explained(query: bytes, answer_type: str) -> bool:
    """Return whether ``?explain`` asks for explanations.

    Raises:
        HTTPProblem: 400 when it is neither true nor false, 406 when the format of the answer has no room for them.
    """
    if not query:
        return False
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get("explain", "false")
    if given not in {"true", "false"}:
        raise HTTPProblem(400, "Not a valid request", f"explain={given}: write explain=true or explain=false.")
    if given == "true" and answer_type != JSON:
        raise HTTPProblem(406, "Not acceptable", f"Explanations are {JSON} alone; leave out explain or accept that.")
    return given == "true"
