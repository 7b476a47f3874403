"""Requests of one event loop, answered in passes."""

import asyncio
import json
import time

import pytest

from pipelines.config import UserError
from pipelines.feature.decode import JSON
from pipelines.serving.micro_batcher import MicroBatcher
from pipelines.serving.problems import HTTPProblem
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import NOW
from tests.problems import parcels

ROWS = parcels.read("parcels", NOW, NOW.replace(day=27)).slice(0, 40).to_pylist()
BODIES = [json.dumps(row, default=lambda moment: moment.isoformat()).encode() for row in ROWS]


class Counting(PredictionService):
    """A service that remembers how many bodies each of its passes had."""

    def predict_together(self, bodies):
        self.passes = [*getattr(self, "passes", []), len(bodies)]
        return super().predict_together(bodies)


@pytest.fixture
def service(released):
    platform = released
    writer = LogWriter(platform.objects, "dev", flush_seconds=60, flush_rows=10_000)
    made = Counting(platform.problem, platform.online, platform.models, platform.releases, writer)
    made.refresh()
    yield made
    writer.close()


def asked(service, *groups, late=()):
    """Ask for groups of bodies, each when the one before is answered; return the answers and errors."""

    async def ask():
        together = MicroBatcher(service)
        now = time.monotonic()
        return [
            await asyncio.gather(
                *(together.predict(body, JSON, now - 1 if body in late else now + 60) for body in group),
                return_exceptions=True,
            )
            for group in groups
        ]

    return [answer for group in asyncio.run(ask()) for answer in group]


def test_what_has_arrived_is_one_pass_and_a_pass_is_not_without_bound(service):
    answers = asked(service, BODIES)
    assert service.passes == [32, 8]
    assert len({answer["prediction_id"] for answer in answers}) == 40


def test_one_that_comes_alone_is_answered_though_more_were_expected(service):
    answers = asked(service, BODIES[:5], *([body] for body in BODIES[:6]), BODIES[:3])
    assert service.passes == [5, 1, 1, 1, 1, 1, 1, 3]
    assert all("prediction" in answer for answer in answers)


def test_each_of_a_pass_gets_its_own_error(service):
    first, bad, late, last = asked(service, [BODIES[0], b"{}", BODIES[1], BODIES[2]], late=[BODIES[1]])
    assert "prediction" in first
    assert "prediction" in last
    assert isinstance(bad, UserError)
    assert isinstance(late, HTTPProblem)
    assert late.status == 503
    assert service.passes == [3], "who was not waiting any more was not computed for"


def test_who_left_is_not_computed_for(service):
    async def ask():
        together, soon = MicroBatcher(service), time.monotonic() + 60
        gone, stays = (asyncio.ensure_future(together.predict(body, JSON, soon)) for body in BODIES[:2])
        asyncio.get_running_loop().call_soon(gone.cancel)
        return await stays

    answer = asyncio.run(ask())
    assert service.log.pending == 1
    assert "prediction" in answer
