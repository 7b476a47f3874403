from concurrent.futures import ThreadPoolExecutor


def test_messages_are_received_oldest_first_until_they_are_deleted(queue):
    for body in (b"one", b"two", b"three"):
        queue.send(body)
    first = queue.receive(2)
    assert [message.body for message in first] == [b"one", b"two"]
    assert [message.body for message in queue.receive()] == [b"one", b"two", b"three"]
    queue.delete(message.receipt for message in first)
    assert [message.body for message in queue.receive()] == [b"three"]


def test_deleting_what_is_gone_is_no_error(queue):
    queue.send(b"one")
    (message,) = queue.receive()
    queue.delete([message.receipt])
    queue.delete([message.receipt])
    assert queue.receive() == []


def test_no_message_is_lost_when_many_send(queue):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: queue.send(str(n).encode()), range(80)))
    assert sorted(int(message.body) for message in queue.receive(1000)) == list(range(80))
