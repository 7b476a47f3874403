"""A platform that stops the app's processes between requests, as serverless inference does."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from pipelines.config import AllAtOnce, Variant
from pipelines.contracts import keys
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from tests.conftest import NOW, make_platform
from tests.e2e.conftest import Served
from tests.e2e.load import ask, logged_ids, metric, one, several, workers


@contextlib.contextmanager
def frozen(served: Served) -> Iterator[None]:
    processes = [served.process.pid, *workers(served)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("freezes", [True, False])
def test_only_an_app_that_knows_of_freezing_has_logged_each_answer(serving, freezes):
    served = serving("--workers", "2", freezes=freezes, flush_seconds=600)
    answered = set()
    for number in range(20):
        answer = ask(served, body=several(30) if number % 4 == 0 else one(number)).json()
        with frozen(served):
            answered |= {row["prediction_id"] for row in answer.get("predictions", [answer])}
            assert (logged_ids(served) == answered) == freezes


def test_the_first_answer_after_a_freeze_is_of_the_latest_release(serving):
    served = serving(freezes=True, poll_seconds=0.2)
    platform = make_platform(served.mlops.home, confirm_seconds=0)  # as nobody answers while it is frozen
    assert ask(served, body=one()).json()["model_version"] == 1
    with frozen(served):
        model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
        released = Variant(model=model, version=version)
        file = propose_model(platform.models, platform.releases.state(), released, AllAtOnce(), override="a test")
        for step in (propose, approve, start):
            step(platform.release_target, Actor("tester", NOW), file)
        time.sleep(0.3)
    assert ask(served, body=one()).json()["model_version"] == version


def test_what_the_store_does_not_take_before_the_answer_is_written_later(serving):
    served = serving(freezes=True, flush_seconds=600)
    in_the_way = served.mlops.home / "store" / keys.PREDICTIONS.rstrip("/")
    in_the_way.write_bytes(b"")
    first = ask(served, body=one())
    assert first.status == 200
    assert metric(served, "prediction_log_pending") == 1
    in_the_way.unlink()
    second = ask(served, body=one(1))
    assert logged_ids(served) == {answer.json()["prediction_id"] for answer in (first, second)}
