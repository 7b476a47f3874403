"""``mlops watch`` as a process: Alertmanager may send, others may not, and the release is judged by the clock."""

import json
import socket
import time

import pytest
import urllib3

from tests.unit.entrypoints.test_watch import alert, message

TOKEN = "a-token-of-this-test"


@pytest.fixture
def watch(mlops, tmp_path):
    """Start the watch; yields what asks it."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process, http = (
        mlops.start("watch", "--port", str(port), "--token-file", str(file)),
        urllib3.PoolManager(retries=False),
    )

    def ask(method, path, body=None, token=TOKEN):
        headers = {"authorization": f"Bearer {token}"}
        answer = http.request(method, f"http://127.0.0.1:{port}{path}", body=body, headers=headers, timeout=20)
        return answer.status, answer.data.decode()

    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                ask("GET", "/ping")
                break
            except urllib3.exceptions.HTTPError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.2)
        yield ask
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_watch_takes_alerts_of_its_own_alertmanager_and_tells_of_them(watch, mlops):
    assert watch("POST", "/alerts", message(alert()), token="another")[0] == 401
    assert watch("POST", "/alerts", b"{}")[0] == 400
    assert [watch("POST", "/alerts", message(alert())) for _ in range(2)] == [
        (200, '{"events":1}'),
        (200, '{"events":0}'),
    ]
    ticks = 'release_ticks_total{outcome="done"} '
    assert watch("POST", "/alerts", message(alert("endpoint-errors", retrain="false")))[0] == 200  # looks at once
    until = time.monotonic() + 20
    while f"{ticks}2.0" not in (told := watch("GET", "/metrics")[1]):
        assert time.monotonic() < until, told
        time.sleep(0.1)
    assert "alert_events_total 1.0" in told and 'queue_messages{state="waiting"} 1.0' in told
    assert json.loads(watch("GET", "/ping")[1]) == {"status": "ok"}


def test_an_empty_token_is_refused(mlops, tmp_path):
    file = tmp_path / "token"
    file.write_text("\n")
    done = mlops("watch", "--token-file", str(file))
    assert done.code == 1 and "is empty" in done.err
