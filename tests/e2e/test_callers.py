"""An app that knows its callers: who gets an answer over HTTP, and that no token is written anywhere."""

import gzip

import pytest
import urllib3

from pipelines.serving.server import is_local
from tests.e2e.conftest import Mlops
from tests.e2e.load import logged_ids, one, several, until

OPEN = ("/ping", "/ready", "/live", "/metrics", "/openapi.json")


def ask(served, token=None, path="/invocations", body=None, **headers):
    given = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    method = "GET" if body is None else "POST"
    return urllib3.PoolManager().request(method, served.url + path, body=body, headers=given, retries=False)


@pytest.fixture
def callers(tmp_path):
    return tmp_path / "callers.toml"


@pytest.fixture
def add(released, callers):
    """Add a caller by the command, and return its token."""

    def add(name, *rate):
        done = Mlops(released.home)("token", name, "--callers", str(callers), *rate)
        assert done.code == 0, done.err
        return done.out.strip()

    return add


def test_only_callers_with_a_token_are_answered_and_counted(serving, callers, add):
    token = add("checkout")
    served = serving("--workers", "2", callers=callers, poll_seconds=0.05)
    for path in OPEN:
        assert ask(served, path=path).status == 200, "probes and scrapers have no token"
    for wrong in (None, "nonsense", token[:-1], token + "x", "é".encode().decode("latin-1")):
        for body in (one(), several(10_000), b"\x00", b""):
            answer = ask(served, wrong, body=body)
            assert answer.status == 401, wrong
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.json()["title"] == "Who asks?"
    answered = ask(served, token, body=one())
    assert answered.status == 200
    assert ask(served, token, body=gzip.compress(one(1)), **{"Content-Encoding": "gzip"}).status == 200
    until(lambda: len(logged_ids(served)) == 2)
    counted = [line for line in ask(served, path="/metrics").data.decode().splitlines() if line.startswith("caller_")]
    assert counted == ['caller_requests_total{caller="checkout"} 2.0']
    assert ask(served, path="/openapi.json").json()["paths"]["/invocations"]["post"]["security"] == [{"token": []}]


def test_callers_come_and_go_while_the_app_runs(serving, callers, add):
    old = add("old")
    served = serving("--workers", "2", callers=callers, poll_seconds=0.05)
    new = add("new")
    until(lambda: all(ask(served, new, body=one()).status == 200 for _ in range(8)))
    assert ask(served, old, body=one()).status == 200
    kept = callers.read_text()
    callers.write_text(kept[kept.index("[callers.new]") :])
    until(lambda: all(ask(served, old, body=one()).status == 401 for _ in range(8)))
    callers.write_text("[callers.new")
    assert ask(served, new, body=one()).status == 200, "a broken file locks nobody out"


def test_a_caller_above_its_rate_takes_nothing_from_another(serving, callers, add):
    loud, quiet = add("loud", "--rate", "2"), add("quiet")
    served = serving(callers=callers)
    statuses = [ask(served, loud, body=one()).status for _ in range(30)]
    assert statuses[:2] == [200, 200]
    assert set(statuses) == {200, 429}
    assert {ask(served, quiet, body=one()).status for _ in range(30)} == {200}


def test_no_token_is_written_anywhere(serving, callers, add):
    token, wrong = add("checkout"), "a-wrong-token-that-must-not-be-written"
    served = serving(callers=callers, flush_seconds=0.05)
    for given in (token, wrong):
        for path in ("/invocations", "/invocations?explain=true", "/invocations?explain=maybe", "/nothing"):
            ask(served, given, path=path, body=one())
            ask(served, given, path=path, body=b"{")
    metrics = ask(served, path="/metrics").data
    until(lambda: logged_ids(served))
    served.process.terminate()
    said = "".join(served.process.communicate(timeout=30)).encode()
    files = [path for path in served.mlops.home.rglob("*") if path.is_file()]
    assert len(files) > 10
    for secret in (token.encode(), wrong.encode()):
        assert secret not in said + metrics + callers.read_bytes()
        assert [path for path in files if secret in path.read_bytes()] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "somewhere"])
def test_an_address_of_a_network_wants_to_know_who_may_ask(mlops, host):
    done = mlops("serve", "--host", host, "--port", "1")
    assert done.code == 2
    assert "nothing says who may ask" in done.err
    assert not is_local(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_address_of_this_machine_is_open_to_whoever_is_on_it(host):
    assert is_local(host)


def test_replay_shows_the_token_of_a_file(serving, callers, add, tmp_path):
    (tmp_path / "token").write_text(add("replay") + "\n")
    served = serving(callers=callers, clock="requests")
    days = ("--start", "2024-02-20", "--end", "2024-02-21", "--url", served.url)
    done = served.mlops("replay", *days, "--token-file", str(tmp_path / "token"))
    assert done.code == 0, done.err
    refused = served.mlops("replay", *days)
    assert refused.code == 1
    assert "status 401" in refused.err


def test_a_file_of_callers_that_cannot_be_read_starts_no_app(mlops, callers):
    mlops.environ["RATCHET_CALLERS"] = str(callers)
    done = mlops("serve", "--host", "0.0.0.0", "--port", "1")
    assert done.code == 1
    assert "does not exist" in done.err
