import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests.contract.conftest import HIDDEN_SECONDS


def bodies(messages):
    return [json.loads(message.body) for message in messages]


def wait_for(queue, count):
    """Receive until there are so many, for events take a moment to arrive, and come back when they were hidden."""
    found = {}
    until = time.monotonic() + 20 * HIDDEN_SECONDS
    while len(found) < count and time.monotonic() < until:
        found |= {message.body: message for message in queue.receive()}
    return list(found.values())


def test_messages_stay_until_they_are_deleted(queue):
    for number in range(3):
        queue.send(b'{"n": %d}' % number)
    messages = wait_for(queue, 3)
    assert bodies(messages) == [{"n": 0}, {"n": 1}, {"n": 2}]
    messages = wait_for(queue, 3)
    queue.delete(message.receipt for message in messages[:2])
    time.sleep(HIDDEN_SECONDS)
    assert bodies(queue.receive()) == bodies(messages[2:])


def test_no_more_are_received_than_asked_for(queue):
    for number in range(3):
        queue.send(b'{"n": %d}' % number)
    assert len(queue.receive(2)) == 2


def test_deleting_what_is_gone_is_no_error(queue):
    queue.send(b'{"one": [1, null, "\xc3\xa9"]}')
    (message,) = wait_for(queue, 1)
    assert json.loads(message.body) == {"one": [1, None, "é"]}
    queue.delete([message.receipt])
    queue.delete([message.receipt])
    time.sleep(HIDDEN_SECONDS)
    assert queue.receive() == []


def test_no_message_is_lost_when_many_send(queue):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: queue.send(b'{"n": %d}' % n), range(80)))
    assert sorted(body["n"] for body in bodies(wait_for(queue, 80))) == list(range(80))


def test_the_depth_is_the_number_of_messages_that_wait(queue):
    assert queue.depth() == (0, 0)
    for number in range(3):
        queue.send(b'{"n": %d}' % number)
    until = time.monotonic() + 20 * HIDDEN_SECONDS
    while queue.depth().waiting < 3 and time.monotonic() < until:
        time.sleep(0.1)
    assert queue.depth() == (3, 0)
