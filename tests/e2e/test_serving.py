"""The serving app as processes: several at once, stopped under load, killed."""

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import urllib3

from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.spec import AllAtOnce, Variant
from tests.conftest import NOW, make_platform
from tests.problems import parcels

ROWS = parcels.read("parcels", NOW, NOW.replace(day=27)).to_pylist()


def one(number=0):
    return msgspec.json.encode(ROWS[number % len(ROWS)])


def several(count):
    return msgspec.json.encode({"instances": [ROWS[number % len(ROWS)] for number in range(count)]})


def ask(served, path="/invocations", body=None):
    method = "GET" if body is None else "POST"
    return urllib3.request(method, served.url + path, body=body, retries=False, timeout=30)


def metric(served, name):
    lines = ask(served, "/metrics").data.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def until(done):
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logged(served):
    log = make_platform(served.mlops.home).predictions
    return set(log.read(NOW, NOW.replace(day=28))["prediction_id"].to_pylist())


def workers(served):
    """The processes that answer."""
    found = subprocess.run(["pgrep", "-P", str(served.process.pid)], capture_output=True, text=True, check=False)
    return set(map(int, found.stdout.split()))


class Clients:
    """Clients that keep their connections and ask on and on; each kind of outcome is counted."""

    def __init__(self, served, bodies):
        self.served, self.outcomes, self.answers, self.asking = served, Counter(), [], True
        self.threads = [threading.Thread(target=self.ask, args=(body,)) for body in bodies]
        for thread in self.threads:
            thread.start()

    def ask(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        with contextlib.closing(connection):
            while self.asking and self.ask_once(connection, body):
                pass

    def ask_once(self, connection, body):
        """Ask, over the connection that is open or a new one; say whether to go on."""
        try:
            if connection.sock is None:
                connection.connect()
        except ConnectionRefusedError:
            self.outcomes["refused"] += 1
            return False
        try:
            connection.request("POST", "/invocations", body)
            reply = connection.getresponse()
            answer = msgspec.json.decode(reply.read())
        except (OSError, http.client.HTTPException) as error:
            self.outcomes[type(error).__name__] += 1
            return False
        self.outcomes[reply.status] += 1
        now = time.monotonic()
        self.answers += [(now, row["prediction_id"]) for row in answer.get("predictions", [answer])]
        return True

    def stop(self):
        self.asking = False
        for thread in self.threads:
            thread.join(30)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_under_load_fails_no_request_loses_no_prediction_and_exits_with_0(serving, processes):
    served = serving("--workers", str(processes), flush_seconds=600)
    clients = Clients(served, [one(), one(1), one(2), one(3), several(2000), several(1000)])
    time.sleep(1.5)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    clients.stop()
    assert served.process.returncode == 0
    assert set(clients.outcomes) <= {200, "refused"}, clients.outcomes
    assert clients.outcomes[200] > 20
    assert {name for _, name in clients.answers} == logged(served)


def test_several_processes_serve_follow_the_release_log_and_add_up_their_metrics(serving):
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
    propose(platform.releases, platform.models, actor, file)
    approve(platform.releases, actor, file)
    start(platform.releases, actor, file)
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


def test_workers_stop_by_themselves_when_their_parent_is_killed_and_write_their_log(serving):
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


def test_what_was_answered_longer_than_the_flush_interval_ago_survives_kill_9(serving):
    served = serving(flush_seconds=0.3)
    clients = Clients(served, [one(number) for number in range(4)])
    time.sleep(3)
    killed = time.monotonic()
    for process in workers(served) | {served.process.pid}:
        os.kill(process, signal.SIGKILL)
    clients.stop()
    written = logged(served)
    lost = [killed - when for when, name in clients.answers if name not in written and when < killed]
    assert len(clients.answers) > 100
    assert max(lost, default=0) < 0.3 + 0.2, "the interval and the time that a write may take here"
