"""The serving app as processes: several at once, stopped under load, killed."""

import os
import signal
import time
from pathlib import Path

import pytest
import urllib3

from pipelines.config import AllAtOnce, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from tests.conftest import NOW, make_platform
from tests.e2e.load import Clients, ask, logged_ids, metric, one, several, until, workers


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_under_load_loses_nothing_and_exits_with_0(serving, processes):
    served = serving("--workers", str(processes), flush_seconds=600)
    clients = Clients(served, [one(), one(1), one(2), one(3), several(2000), several(1000)])
    time.sleep(1.5)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    clients.stop()
    assert served.process.returncode == 0
    assert set(clients.outcomes) <= {200, "refused"}, clients.outcomes
    assert clients.outcomes[200] > 20
    assert {answer.name for answer in clients.answers} == logged_ids(served)


def test_workers_follow_the_release_log_and_add_up_their_metrics(serving):
    served = serving("--workers", "2", poll_seconds=0.05, flush_seconds=600)
    assert len(workers(served)) == 2
    clients = Clients(served, [one(number) for number in range(8)])
    time.sleep(1)
    clients.stop()
    assert metric(served, "predictions_total") == clients.outcomes[200] > 8
    until(lambda: metric(served, "prediction_log_pending") == clients.outcomes[200])
    assert metric(served, "release_number") == 3
    platform = make_platform(served.mlops.home)
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    released = Variant(model=model, version=version)
    file = propose_model(platform.models, platform.releases.state(), released, AllAtOnce(), override="a test")
    actor = Actor("tester", NOW)
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    start(platform.release_target, actor, file)
    latest = platform.releases.latest().number
    until(lambda: metric(served, "release_number") == latest)  # of both: the gauge is the least


def cpu_ticks(pid):
    """How long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_killed_worker_is_replaced_and_its_gauges_are_forgotten(serving):
    served = serving("--workers", "2", flush_seconds=600)
    before = {pid: cpu_ticks(pid) for pid in workers(served)}
    for number in range(200):
        assert ask(served, body=one(number)).status == 200
    until(lambda: metric(served, "prediction_log_pending") == 200)
    busiest = max(before, key=lambda pid: cpu_ticks(pid) - before[pid])
    os.kill(busiest, signal.SIGKILL)
    until(lambda: len(workers(served) - set(before)) == 1)
    until(lambda: metric(served, "prediction_log_pending") < 200)
    assert metric(served, "predictions_total") == 200, "what the dead counted counts"
    assert metric(served, "release_number") == 3


def test_workers_of_a_killed_parent_write_their_log_and_stop(serving):
    served = serving(flush_seconds=600)
    answer = ask(served, body=one()).json()
    served.process.kill()
    served.process.wait()

    def gone():
        try:
            ask(served, "/ping")
        except urllib3.exceptions.HTTPError:
            return True
        return False

    until(gone)
    until(lambda: make_platform(served.mlops.home).predictions.find(answer["prediction_id"]))


def test_answers_older_than_the_flush_interval_survive_kill_9(serving):
    served = serving(flush_seconds=0.3)
    clients = Clients(served, [one(number) for number in range(4)])
    time.sleep(3)
    killed = time.monotonic()
    for process in workers(served) | {served.process.pid}:
        os.kill(process, signal.SIGKILL)
    clients.stop()
    written = logged_ids(served)
    lost = [killed - one.when for one in clients.answers if one.name not in written and one.when < killed]
    assert len(clients.answers) > 100
    assert max(lost, default=0) < 0.3 + 0.2, "the interval and the time that a write may take here"
