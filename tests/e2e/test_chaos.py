"""The app under load while releases happen, processes are killed and the disk is full: what was answered stays true."""

import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.config import AllAtOnce, BlueGreen, CanaryStrategy, Shadow, Variant
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, advance, approve, conclude, promote, propose, roll_back, start
from tests.conftest import NOW, make_platform
from tests.e2e.load import Clients, ask, logged, metric, one, several, until, workers

ME, DAY, POLL = Actor("tester", NOW), timedelta(days=1), 0.2
CANARY = CanaryStrategy(steps=(0.3, 0.6), bake=DAY)


def twin(platform):
    """A second model like the first, of another digest."""
    first = platform.releases.state().champion.model
    manifest = platform.models.manifest(first).model_copy(update={"reason": "the same again"})
    files = {name: platform.models.file(first, name) for name in manifest.files}
    model, version = platform.models.put(manifest, files)
    return Variant(model=model, version=version)


def releasing(platform, released, strategy):
    """Propose, approve and start, a transition at each step."""
    log = platform.releases
    file = propose_model(platform.models, log.state(), released, strategy, override="a test")
    yield propose(platform.release_target, ME, file)
    yield approve(platform.release_target, ME, file)
    yield start(platform.release_target, ME, file)


def every_move(platform):
    """Each kind of transition that there is, one after the other."""
    first, second = platform.releases.state().champion, twin(platform)
    yield from releasing(platform, second, CANARY)
    yield advance(platform.release_target, ME, "good")
    yield promote(platform.release_target, ME, "good")
    yield roll_back(platform.release_target, ME, "bad after all", champion_out=True)
    yield from releasing(platform, second, BlueGreen(bake=DAY))
    yield promote(platform.release_target, ME, "good")
    yield from releasing(platform, first, Shadow(duration=DAY))
    yield conclude(platform.release_target, ME, "over")
    yield from releasing(platform, first, AllAtOnce())


@pytest.mark.parametrize("processes", [1, 2])
def test_under_load_one_served_release_answers_each_request(serving, processes):
    served = serving("--workers", str(processes), poll_seconds=POLL)
    platform = make_platform(served.mlops.home)
    clients = Clients(served, [one(1), one(2), several(20), several(40, 20)], pause=0.01)
    served_since = []
    for entry in every_move(platform):
        until(lambda entry=entry: metric(served, "release_number") == entry.number, POLL + 2)  # of all: it is the least
        served_since.append((time.monotonic(), entry.number))
    time.sleep(0.3)
    clients.stop()
    until(lambda: metric(served, "prediction_log_pending") == 0)
    assert set(clients.outcomes) == {200}, clients.problems[:3]
    assert metric(served, "refused_releases_total") == 0

    rows = logged(served)
    assert Counter(row["prediction_id"] for row in rows) == Counter(answer.name for answer in clients.answers)
    by_id = {row["prediction_id"]: row for row in rows}
    serves = {
        entry.number: {variant.version for variant in (entry.state.champion, entry.state.challenger) if variant}
        for entry in platform.releases.entries()
    }
    releases_of = defaultdict(set)
    for answer in clients.answers:
        row = by_id[answer.name]
        assert row["version"] == answer.version
        assert answer.version in serves[row["release"]]
        assert row["release"] >= max((number for when, number in served_since if when < answer.sent), default=3)
        releases_of[answer.sent, answer.when].add(row["release"])
    assert {len(releases) for releases in releases_of.values()} == {1}, "one request, one release"
    assert {row["version"] for row in rows} == {1, 2}


def test_kills_lose_at_most_a_flush_interval_and_log_nothing_twice(serving):
    served = serving("--workers", "2", flush_seconds=0.3)
    clients = Clients(served, [one(number) for number in range(8)], pause=0.01, insists=True)
    time.sleep(1.5)
    before, kills = workers(served), []
    os.kill(min(workers_that_answer(before)), signal.SIGKILL)
    kills.append(time.monotonic())
    until(lambda: len(workers(served) - before) == 1)
    time.sleep(1.5)
    for process in workers(served) | {served.process.pid}:
        os.kill(process, signal.SIGKILL)
    kills.append(time.monotonic())
    served.process.wait()
    again = served.mlops.start("serve", "--port", str(served.port), "--workers", "2")
    try:
        restarted = len(clients.answers)
        until(lambda: len(clients.answers) > restarted + 50)
    finally:
        clients.stop()
        again.terminate()
        again.communicate(timeout=30)
    assert not any(isinstance(outcome, int) and outcome != 200 for outcome in clients.outcomes), clients.outcomes
    times = Counter(row["prediction_id"] for row in logged(served))
    assert max(times.values()) == 1
    lost = [answer for answer in clients.answers if answer.name not in times]
    assert len(lost) < len(clients.answers) / 2
    before_a_kill = [min(killed - answer.when for killed in kills if killed > answer.when - 0.2) for answer in lost]
    assert max(before_a_kill, default=0) < 0.3 + 0.5, "the interval and the time of a write"


def workers_that_answer(processes):
    """Without the process that watches over what they share."""
    return {process for process in processes if "resource_tracker" not in command(process)}


def command(process):
    return Path(f"/proc/{process}/cmdline").read_text()


@pytest.fixture
def small_disk():
    """Put a file system of one megabyte at a folder; needs root, as in a container."""
    mounted = []

    def mount(folder):
        folder.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a file system that is full cannot be made here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_reported_and_every_answer_is_logged_once_later(serving, small_disk):
    served = serving(flush_rows=50, flush_seconds=0.2)
    disk = small_disk(served.mlops.home / "store/predictions")
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2**21))
    answered, refused = [], None
    for _ in range(100):
        reply = ask(served, body=several(20))
        if reply.status != 200:
            refused = reply
            break
        answered += [row["prediction_id"] for row in reply.json()["predictions"]]
    assert refused is not None
    assert len(answered) == 500, "ten times flush_rows"
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "(No space left on device) and 500 predictions wait; ask again later" in refused.json()["detail"]
    for _ in range(20):
        assert ask(served, body=several(20)).status == 503
    assert metric(served, "prediction_log_pending") == 500, "what is refused is not kept: memory is bounded"
    assert ask(served, "/ping").status == 200
    assert len([path for path in disk.rglob(".tmp-*") if path.is_file()]) <= 1, "attempts leave nothing behind"
    ballast.unlink()
    reply = ask(served, body=several(20))
    assert reply.status == 200
    answered += [row["prediction_id"] for row in reply.json()["predictions"]]
    until(lambda: metric(served, "prediction_log_pending") == 0)
    assert Counter(row["prediction_id"] for row in logged(served)) == Counter(answered)
