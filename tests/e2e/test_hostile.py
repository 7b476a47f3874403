"""No input is answered with a server's error: hostile values in every format, broken bytes and raw HTTP."""

import asyncio
import re
from collections import Counter
from itertools import islice

import pytest

from pipelines.feature.decode import FORMATS
from tests.e2e import hostile
from tests.e2e.conftest import running
from tests.e2e.load import ROWS, ask, one, workers

_AT_ONCE, _PATIENCE = 16, 0.3
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


async def answered(port, request):
    """The statuses that are answered to one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.sent)
        return STATUS.findall(await asyncio.wait_for(reader.read(-1), 30 if request.whole else _PATIENCE))
    except (TimeoutError, ConnectionError):
        assert not request.whole, request
        return [b"0"]
    finally:
        writer.close()


async def attacked(port, requests):
    """How often each kind of request was answered with which status, and the requests answered with 5xx."""
    counts, failed, given = Counter(), [], iter(requests)

    async def client():
        for request in given:
            for status in await answered(port, request) or [b"0"]:
                counts[request.kind, int(status)] += 1
                if status >= b"500":
                    failed.append(request)

    await asyncio.gather(*(client() for _ in range(_AT_ONCE)))
    return counts, failed


def hold(home, count, seed):
    """Attack an app, and show that it held; return the counts."""
    with running(home, max_body_bytes=1_000_000) as served:
        processes = workers(served)
        counts, failed = asyncio.run(attacked(served.port, islice(hostile.requests(ROWS, seed), count)))
        for (kind, status), number in sorted(counts.items()):
            print(f"{kind} {status or 'no answer'}: {number:,}")  # noqa: T201 - shown with -s, and where the test fails
        assert not failed
        assert workers(served) == processes, "a worker died"
        assert ask(served, body=one()).status == 200
    return counts


def test_no_input_is_answered_with_a_server_s_error(released):
    counts = hold(released.home, 4000, seed=1)
    for kind in FORMATS:
        assert counts[kind, 200] > 50
        assert counts[kind, 400] > 50
    assert counts["HTTP", 400] > 50


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(2, 5))
def test_no_input_of_many_is_answered_with_a_server_s_error(released, seed):
    counts = hold(released.home, 20_000, seed)
    assert sum(counts.values()) >= 20_000
