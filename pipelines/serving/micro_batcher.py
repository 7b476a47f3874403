"""Answers all requests that have arrived in one pass: each decoded alone, then one lookup, model run and log entry.

A pass begins when as many requests wait as the last one had, or a millisecond after its first. So a request that comes
alone, after another that did, waits for nobody, and under load nearly all the work of a pass is shared.
"""

import asyncio
from typing import NamedTuple

from pipelines.serving.limits import in_time
from pipelines.serving.problems import HTTPProblem
from pipelines.serving.service import Answer, PredictionService

_AT_ONCE = 32
"""How many requests a pass takes at most, so that it does not block the event loop for long."""


_GATHERING_SECONDS = 0.001
"""How long a pass waits for as many requests as the last one had."""


class _Waiting(NamedTuple):
    body: bytes
    content_type: str
    deadline: float
    answer: asyncio.Future[Answer]


class MicroBatcher:
    """The requests that wait for the next pass of one event loop."""

    def __init__(self, service: PredictionService) -> None:
        self._service = service
        self._waiting: list[_Waiting] = []
        self._expected = 1
        self._start: asyncio.Handle | None = None

    async def predict(self, body: bytes, content_type: str, deadline: float) -> Answer:
        """Answer a body as :meth:`PredictionService.predict` does.

        Raises:
            HTTPProblem: 503 when its turn comes after its deadline.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(body, content_type, deadline, loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == self._expected:
            if self._start:
                self._start.cancel()
            self._start = loop.call_soon(self._pass)
        elif self._start is None:
            self._start = loop.call_later(_GATHERING_SECONDS, self._pass)
        return await waiting.answer

    def _pass(self) -> None:
        taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        self._expected = max(len(taken), self._expected - 1)  # shrink slowly, or one late request would split the rest
        self._start = asyncio.get_running_loop().call_soon(self._pass) if self._waiting else None
        asked = [waiting for waiting in taken if _still_asked(waiting)]
        answers = self._service.predict_together([(waiting.body, waiting.content_type) for waiting in asked])
        for waiting, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)


def _still_asked(waiting: _Waiting) -> bool:
    """Return whether a client still waits for the answer; answer one whose deadline has passed."""
    if waiting.answer.done():  # the connection closed
        return False
    try:
        in_time(waiting.deadline)
    except HTTPProblem as late:
        waiting.answer.set_exception(late)
        return False
    return True
