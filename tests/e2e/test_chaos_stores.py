"""The app on damaged, replaced, locked and lost stores, and with a clock that is wrong: it goes on, says so, recovers."""

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from datetime import timedelta

import pytest

from pipelines.config import AllAtOnce, Phase
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, advance, roll_back
from tests.conftest import NOW, make_platform
from tests.definitions import edited
from tests.e2e.load import ask, metric, several, until, workers
from tests.e2e.test_chaos import CANARY, DAY, POLL, releasing, twin


def missing(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def changed(path):
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def of_another(path):
    path.write_bytes(path.read_bytes().replace(b'"who":"tester"', b'"who":"forger"'))


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("model.onnx", missing, "lacks its model.onnx"),
        ("model.onnx", changed, "tampered"),
        ("manifest.json", truncated, "tampered"),
        ("the release log", of_another, "not signed by the audit key"),
    ],
)
def test_a_damaged_model_is_refused_until_it_is_repaired(serving, name, damage, reason):
    served = serving(poll_seconds=POLL)
    platform = make_platform(served.mlops.home).changed({"confirm_seconds": 0})  # it will not answer
    second = twin(platform)
    for process in workers(served):
        os.kill(process, signal.SIGSTOP)  # so that it sees the release when it is damaged
    *_, entry = releasing(platform, second, AllAtOnce())
    folder = platform.home / "store"
    path = folder / f"models/{second.model}/{name}"
    if name == "the release log":
        path = folder / f"releases/dev/{entry.number:06d}.json"
    whole = path.read_bytes()
    damage(path)
    for process in workers(served):
        os.kill(process, signal.SIGCONT)
    until(lambda: metric(served, "refused_releases_total") == 1)
    answers = ask(served, body=several(5)).json()["predictions"]
    assert {answer["model_version"] for answer in answers} == {1}
    assert metric(served, "release_number") < entry.number
    path.write_bytes(whole)
    until(lambda: metric(served, "release_number") == entry.number)
    assert ask(served, body=several(5)).json()["predictions"][0]["model_version"] == 2
    served.process.send_signal(signal.SIGTERM)
    assert reason in "".join(served.process.communicate(timeout=30)), "the log says why"


def test_a_writer_that_locks_the_online_store_hinders_no_answer(serving):
    served = serving()
    with closing(sqlite3.connect(served.mlops.home / "online.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM latest")
        replies = [ask(served, body=several(5)) for _ in range(50)]
        writer.rollback()
    assert {reply.status for reply in replies} == {200}
    assert metric(served, "absent_view_rows_total") == 0, "what is not committed is not seen"


def test_a_lost_online_store_answers_503_until_it_is_back(serving):
    served = serving()
    assert ask(served, body=several(5)).status == 200
    home = served.mlops.home
    with closing(sqlite3.connect(home / "online.db")) as database, closing(sqlite3.connect(home / "copy.db")) as copy:
        database.backup(copy)
    for path in home.glob("online.db*"):
        path.unlink()
    for body in (several(5), several(500)):  # in the event loop and by threads
        reply = ask(served, body=body)
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"] == "The online store cannot be read (No such file or directory); ask again later."
    assert ask(served, "/ping").status == 200
    shutil.move(home / "copy.db", home / "online.db")
    assert ask(served, body=several(5)).status == 200
    assert metric(served, "absent_view_rows_total") == 0


def test_an_online_store_that_is_locked_whole_lets_the_app_live(serving):
    served = serving()
    with closing(sqlite3.connect(served.mlops.home / "online.db")) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        reply = ask(served, body=several(5))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "database is locked" in reply.json()["detail"]
        assert ask(served, "/ping").status == 200
    assert ask(served, body=several(5)).status == 200


@pytest.fixture
def outlasting(tmp_path, monkeypatch):
    """A problem of which requests are answered while the online store does not answer; its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    policies = "".join(f'[serving.views.{view}]\nunreachable = "as-missing"\n\n' for view in ("queue", "queue_trend"))
    return edited(tmp_path, ("[gates.absolute_quality]", f"{policies}[gates.absolute_quality]"))


def test_a_store_that_does_not_answer_is_done_without_where_stated(serving, outlasting):
    served = serving(problem=outlasting, flush_seconds=0.1)
    with closing(sqlite3.connect(served.mlops.home / "online.db")) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        replies = [ask(served, body=several(5)) for _ in range(40)]
        took = time.monotonic() - began
        assert {reply.status for reply in replies} == {200}
        assert took < 40, "only one request a second waits for the store, for a second"
    time.sleep(1)  # until it is asked again
    without, whole = (
        [row["prediction"] for row in reply.json()["predictions"]]
        for reply in (replies[-1], ask(served, body=several(5)))
    )
    assert without != whole
    lines = ask(served, "/metrics").data.decode().splitlines()
    counted = {line.partition(" ")[0] for line in lines if line.startswith("absent_view_rows_total")}
    assert counted == {
        f'absent_view_rows_total{{kind="unreachable",view="{view}"}}' for view in ("queue", "queue_trend")
    }


def test_one_view_that_is_needed_fails_the_request(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    policy = '[serving.views.queue]\nunreachable = "as-missing"\n\n[gates.absolute_quality]'
    served = serving(problem=edited(tmp_path, ("[gates.absolute_quality]", policy)))
    for path in served.mlops.home.glob("online.db*"):
        path.unlink()
    assert [ask(served, body=several(5)).status for _ in range(3)] == [503] * 3


def test_a_clock_that_is_behind_moves_no_canary_and_hinders_no_rollback(serving):
    served = serving(poll_seconds=POLL, flush_seconds=0.1)
    platform = make_platform(served.mlops.home)
    *_, started = releasing(platform, twin(platform), CANARY)
    until(lambda: metric(served, "release_number") == started.number)
    assert ask(served, body=several(100)).status == 200
    until(lambda: metric(served, "prediction_log_pending") == 0)
    for behind in (timedelta(seconds=1), DAY, 400 * DAY):
        judged = tick(
            platform.problem,
            platform.tables,
            platform.predictions,
            platform.release_target,
            Actor("canary analysis", NOW - behind),
        )
        assert judged.verdict.outcome.value == "insufficient"
        assert judged.entry == started
    earlier = Actor("tester", NOW - DAY)
    moved = advance(platform.release_target, earlier, "the clock went back")
    assert (moved.number, moved.at) == (started.number + 1, NOW - DAY), "numbers order the log, not times"
    back = roll_back(platform.release_target, earlier, "bad")
    assert back.state.phase is Phase.ROLLED_BACK
    until(lambda: metric(served, "release_number") == back.number)
    assert [entry.number for entry in platform.releases.entries()] == list(range(1, back.number + 1))
