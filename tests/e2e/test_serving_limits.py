"""The limits of the serving app, each in a test in which it holds, and what it says to requests that are none."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from shutil import copytree

import pyarrow as pa
import pytest
import urllib3

from tests.conftest import NOW, make_platform
from tests.e2e.conftest import running
from tests.problems import parcels

ROWS = parcels.read("parcels", NOW, NOW.replace(day=27)).to_pylist()
LIMITS = {"max_body_bytes": 40_000, "max_rows": 150, "max_concurrency": 4, "deadline_seconds": 1, "flush_seconds": 600}


def several(count):
    return json.dumps({"instances": ROWS[:count]}, default=lambda time: time.isoformat()).encode()


@pytest.fixture(scope="module")
def served(released_home, tmp_path_factory):
    with running(copytree(released_home, tmp_path_factory.mktemp("limited") / "home"), **LIMITS) as served:
        yield served


def ask(served, body=None, path="/invocations", method="POST", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(method, served.url + path, body=body, headers=names, retries=False, timeout=30)


def sent(served, *pieces):
    """What is answered to bytes as they are, and whether the connection is closed after it."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        content = json.loads(reply.read())
        return reply.status, content, connection.recv(1) == b""


HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


@contextlib.contextmanager
def attackers(served, count, sent, address="127.0.0.1"):
    """Connections that have sent something and then wait."""
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30, (address, 0)))
            for _ in range(count)
        ]
        for connection in found:
            connection.sendall(sent)
        yield found


def problem(reply):
    assert reply.headers["content-type"] == "application/problem+json"
    content = reply.json()
    assert (content["status"], content["type"]) == (reply.status, "about:blank")
    return reply.status, content["detail"]


def test_a_body_that_is_too_large_is_refused_by_its_header(served):
    status, content, closed = sent(served, HEAD + b"Content-Length: 40001\r\n\r\n")
    assert (status, content["detail"], closed) == (413, "A body may have 40,000 bytes; send fewer rows in each.", True)


def test_a_chunked_body_that_is_too_large_is_read_no_further(served):
    chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    status, _, closed = sent(served, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
    assert (status, closed) == (413, True)


@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_far_too_much_still_gets_the_answer(served, chunked):
    body = (b"x" * 50_000 for _ in range(1000)) if chunked else b"x" * 50_000_000
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)) as connection:
        connection.request("POST", "/invocations", body, encode_chunked=chunked)
        reply = connection.getresponse()
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert json.loads(reply.read())["detail"] == "A body may have 40,000 bytes; send fewer rows in each."


def test_a_body_may_be_gzip(served):
    reply = ask(served, gzip.compress(several(150)), content_encoding="gzip")
    assert (reply.status, len(reply.json()["predictions"])) == (200, 150)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (gzip.compress(b" " * 50_000_000), "gzip", 413, "A body may have 40,000 bytes"),
        (gzip.compress(several(1))[:-9], "gzip", 400, "The body is not gzip, as its Content-Encoding says: it ends early."),
        (gzip.compress(several(1)) + b"more", "gzip", 400, "it goes on after its end."),
        (several(1), "gzip", 400, "The body is not gzip"),
        (b"", "gzip", 400, "it ends early"),
        (several(1), "br", 415, "Content-Encoding 'br' is none of bodies; send gzip, or leave it out."),
        (several(1), "gzip, gzip", 415, "'gzip, gzip'"),
    ],
)  # fmt: skip
def test_a_body_in_a_bad_encoding_says_which_is_good(served, body, encoding, status, message):
    got, detail = problem(ask(served, body, content_encoding=encoding))
    assert got == status
    assert message in detail


def test_a_time_that_means_never_is_refused_by_its_field(served):
    body = f"parcel_id,asked_at,depot,weight\np,253402300800,{ROWS[0]['depot']},1\n".encode()
    status, detail = problem(ask(served, body, content_type="text/csv"))
    assert (status, detail) == (400, "year 10000 is out of range - at `$.instances[0].asked_at`")


def test_a_replayed_body_of_a_thousand_days_is_refused(served):
    rows = [{**ROWS[0], "asked_at": f"{2000 + number}-01-01T00:00:00Z"} for number in range(100)]
    status, detail = problem(ask(served, json.dumps({"instances": rows}).encode()))
    assert status == 400
    assert "36,160 days apart; a replay takes those of 31 days in one" in detail


def test_a_body_that_does_not_arrive_is_not_waited_for(served):
    began = time.monotonic()
    status, content, closed = sent(served, HEAD + b"Content-Length: 100\r\n\r\n", b"only this")
    assert (status, closed) == (408, True)
    assert "did not arrive within 1 s" in content["detail"]
    assert time.monotonic() - began < 5


def test_a_client_that_goes_away_leaves_its_place_to_others(served):
    for _ in range(2 * LIMITS["max_concurrency"]):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(HEAD + b"Content-Length: 100\r\n\r\nonly this")
    time.sleep(1.5)
    assert ask(served, several(1)).status == 200


def test_too_many_rows_are_refused(served):
    assert ask(served, several(150)).status == 200
    status, detail = problem(ask(served, several(151)))
    assert (status, detail) == (413, "one request may have 150 rows; send more in several requests")


def test_requests_beyond_the_limit_are_asked_to_retry(served):
    """Those that arrive together are counted together: one after the other, they would never be more than one."""
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda _: ask(served, several(30)), range(200)))
    assert {reply.status for reply in replies} == {200, 429}
    refused = next(reply for reply in replies if reply.status == 429)
    assert problem(refused) == (429, "4 requests are being answered; ask again later.")
    assert refused.headers["retry-after"] == "1"
    assert ask(served, path="/ping", method="GET").status == 200


def test_a_body_that_has_not_arrived_takes_no_place(served):
    with attackers(served, 20, HEAD + b"Content-Length: 100\r\n\r\n{"):
        assert {ask(served, several(1)).status for _ in range(20)} == {200}


def test_bodies_that_arrive_take_a_bounded_memory(served):
    """As much as the bodies of the four requests that may be answered at once."""
    with attackers(served, 5, HEAD + b"Content-Length: 39000\r\n\r\n" + b"x" * 38_990):
        time.sleep(0.2)
        reply = ask(served, b" " * 39_000)
        assert problem(reply) == (
            429,
            "The bodies that are arriving take all the memory that they may; ask again later.",
        )


def test_http_2_is_not_spoken(served):
    with attackers(served, 1, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0") as (connection,):
        answer = connection.recv(1000)
    assert not answer.startswith(b"\0\0"), "no frame of settings"


def test_a_connection_without_a_request_is_closed(served):
    with attackers(served, 2, b"") as silent:
        silent[1].sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")  # idle after its answer
        assert silent[1].recv(1000).startswith(b"HTTP/1.1 200")
        assert [connection.recv(1000) for connection in silent] == [b"", b""]


def test_one_peer_cannot_take_every_connection(serving):
    served = serving(max_connections=100, max_connections_per_peer=50)
    with attackers(served, 150, b"", address="127.0.0.2"):
        began = time.monotonic()
        assert {ask(served, several(1)).status for _ in range(10)} == {200}
        assert time.monotonic() - began < 5, "before a silent connection is closed for its silence"


def test_a_large_batch_does_not_hold_up_a_ping(released):
    with running(released.home, max_rows=100_000, max_body_bytes=100_000_000, deadline_seconds=60) as served:
        body = several(200).replace(b'{"instances": [', b"")[:-2]
        body = b'{"instances": [' + b",".join([body] * 300) + b"]}"
        asking = threading.Thread(target=ask, args=(served, body))
        asking.start()
        slowest, pings = 0.0, 0
        while asking.is_alive():
            began = time.monotonic()
            assert ask(served, path="/ping", method="GET").status == 200
            slowest, pings = max(slowest, time.monotonic() - began), pings + 1
        assert pings > 5
        assert slowest < 0.5


def test_a_request_that_waited_too_long_is_not_computed(released):
    settings = {"max_rows": 100_000, "max_body_bytes": 100_000_000, "deadline_seconds": 0.5}
    with running(released.home, **settings) as served, ThreadPoolExecutor(12) as pool:
        body = b",".join([several(200).replace(b'{"instances": [', b"")[:-2]] * 100)
        replies = list(pool.map(lambda _: ask(served, b'{"instances": [' + body + b"]}"), range(12)))
    late = [reply for reply in replies if reply.status == 503]
    assert late
    assert problem(late[0])[1] == "The request waited too long for its turn; ask again later."
    assert late[0].headers["retry-after"] == "1"
    assert {reply.status for reply in replies} <= {200, 408, 503}


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({"path": "/nowhere"}, 404, "There are /ping, /live"),
        ({"path": "/ping/", "method": "GET"}, 404, "There are /ping, /live"),
        ({"method": "GET"}, 405, "This path takes POST."),
        ({"path": "/ping", "method": "DELETE"}, 405, "This path takes GET, HEAD."),
        ({"body": b"x", "content_type": "application/x-npy"}, 415, "send application/json, text/csv, application/vnd."),
        ({"accept": "image/png"}, 406, "Answers are application/json, text/csv, application/vnd.apache.arrow.stream"),
        ({"accept": "application/json;q=0"}, 406, "Answers are"),
        ({"body": b""}, 400, "the body is not JSON"),
        ({"body": b"[" * 39_000}, 400, "Expected `object`, got `array`"),
        ({"body": b'{"instances": [{"weight": ' + b"[" * 39_000}, 400, "Expected `float | null`, got `array`"),
        ({"body": b"\xff", "content_type": "text/csv"}, 400, "not CSV in UTF-8"),
        ({"body": b"\xff", "content_type": "application/vnd.apache.arrow.stream"}, 400, "not an Arrow IPC stream"),
    ],
)  # fmt: skip
def test_a_bad_request_is_a_problem_that_says_what_to_change(served, given, status, message):
    got, detail = problem(ask(served, **{"body": several(1)} | given))
    assert got == status
    assert message in detail


def test_the_formats_of_requests_and_answers_are_chosen_apart(served):
    table = pa.Table.from_pylist(ROWS[:3])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    arrow = "application/vnd.apache.arrow.stream"
    as_csv = ask(served, sink.getvalue().to_pybytes(), content_type=arrow, accept="text/csv;q=0.9, image/png")
    assert as_csv.headers["content-type"].startswith("text/csv")
    head, *lines = as_csv.data.decode().splitlines()
    assert head == "prediction,prediction_id,model_version,variant"
    as_json = ask(served, several(3), accept="application/*").json()["predictions"]
    as_arrow = pa.ipc.open_stream(ask(served, several(3), accept=f"*/*;q=0.1,{arrow}").data).read_all()
    assert as_arrow.column_names == head.split(",")
    for given, line, row in zip(as_arrow.to_pylist(), lines, as_json, strict=True):
        assert float(line.split(",")[0]) == pytest.approx(row["prediction"])
        assert given["prediction"] == pytest.approx(row["prediction"])
        assert (given["model_version"], given["variant"]) == (1, "champion")


def test_a_log_that_cannot_be_written_is_reported_and_not_hidden(released):
    with running(released.home, flush_rows=1, flush_seconds=600) as served:
        folder = served.mlops.home / "store/predictions"
        folder.write_text("a file where the folder should be")
        replies = [ask(served, several(20)) for _ in range(2)]
        assert problem(replies[-1])[0] == 503
        assert ask(served, path="/ping", method="GET").status == 200
        folder.unlink()
        assert ask(served, several(20)).status == 200
    log = make_platform(served.mlops.home).predictions.read(NOW, NOW.replace(day=28))
    assert log.num_rows == 40, "what was answered, and not what was refused"


def test_a_port_that_is_taken_is_told_in_one_sentence(served):
    """By our own app too, which would share its connections otherwise."""
    done = served.mlops("serve", "--port", str(served.port))
    assert (done.code, done.out) == (1, "")
    told = f"error: cannot listen on 127.0.0.1, port {served.port}: Address already in use"
    assert " ".join(done.err.split()) == f"{told}; stop what does, or pass another --host or --port"
