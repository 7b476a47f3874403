"""How many connections a process has: no more than it has descriptors for, and each peer its share of them."""

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from pipelines.serving.connections import PeerLimit

AFFORDABLE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from pipelines.serving.connections import affordable
print(affordable({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "connections", "descriptors"),
    [
        (1000, 1000, 500, 500, 1000),
        (1000, 1000, 5000, 744, 1000),
        (300, 2000, 1000, 1000, 1256),
        (100, 100, 1000, 50, 100),
    ],
)
def test_descriptors_are_kept_in_reserve(soft, hard, wanted, connections, descriptors):
    code = AFFORDABLE.format(soft=soft, hard=hard, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), str(descriptors)]


@pytest.fixture
def opened():
    """Open connections from an address to a listener; each is given as its two ends."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def connect(address, count):
            found = []
            for _ in range(count):
                client = stack.enter_context(socket.create_connection(listener.getsockname(), 5, (address, 0)))
                accepted, _ = listener.accept()
                found.append((client, stack.enter_context(accepted)))
            return found

        yield listener.getsockname()[1], connect


def is_open(client, accepted):
    try:
        accepted.sendall(b"x")
        return client.recv(1) == b"x"
    except OSError:
        return False


def test_the_latest_connections_of_a_peer_beyond_its_share_are_shut_down(opened):
    port, connect = opened
    limit = PeerLimit(port, 3)
    early, other = connect("127.0.0.2", 2), connect("127.0.0.3", 3)
    assert limit.enforce() == 0
    late = connect("127.0.0.2", 4)
    assert limit.enforce() == 3
    assert all(is_open(*one) for one in early + other)
    assert [is_open(*one) for one in late].count(True) == 1
    for client, accepted in early:
        client.close()
        accepted.close()
    connect("127.0.0.2", 2)
    assert limit.enforce() == 0, "places are given back"
