from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.config import UserError
from tests.contract.conftest import REAL


def test_an_object_is_read_as_it_was_written(objects):
    objects.write("a/b.json", b"one")
    objects.write("a/b.json", b"two")
    assert objects.read("a/b.json") == b"two"


def test_an_object_that_is_not_there_is_none(objects):
    assert objects.read("a/b.json") is None
    assert objects.keys("a/") == []


def test_an_object_is_created_once(objects):
    assert objects.create("a", b"one")
    assert not objects.create("a", b"two")
    assert objects.read("a") == b"one"


def test_of_many_creators_one_wins(objects):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: objects.create("a", str(n).encode()), range(40)))
    assert sum(won) == 1
    assert objects.read("a") == str(won.index(True)).encode()


def test_a_reader_never_sees_half_an_object(objects):
    whole = [bytes([n]) * 200_000 for n in range(4)]
    objects.write("a", whole[0])

    def write(n):
        objects.write("a", whole[n % 4])

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, n) for n in range(40)]
        while not all(one.done() for one in writing):
            assert objects.read("a") in whole


def test_keys_are_listed_by_prefix_in_order(objects):
    for key in ("x/2", "x/10/a", "x/1", "y/1", "xx/1", "x/.hidden"):
        objects.write(key, b"")
    assert objects.keys("x/") == ["x/.hidden", "x/1", "x/10/a", "x/2"]
    assert objects.keys("x/1") == ["x/1", "x/10/a"]
    assert objects.keys("") == ["x/.hidden", "x/1", "x/10/a", "x/2", "xx/1", "y/1"]


def test_folders_are_the_next_parts_of_the_keys(objects):
    for key in ("runs/b/run.json", "runs/a/step/x", "runs/a/run.json", "runs/file", "other/c/d"):
        objects.write(key, b"")
    assert objects.folders("runs/") == ["a", "b"]
    assert objects.folders("") == ["other", "runs"]
    assert objects.folders("nothing/") == []


COUNT = 1100 if REAL else 110  # an answer of S3 has room for 1000 keys, one of the emulator here for 100


def test_more_keys_than_one_answer_has_room_for_are_listed(objects):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: objects.write(f"many/{n:04d}/x", b""), range(COUNT)))
    assert objects.keys("many/") == [f"many/{n:04d}/x" for n in range(COUNT)]
    assert objects.folders("many/") == [f"{n:04d}" for n in range(COUNT)]


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_key_stays_in_the_store(objects, key):
    with pytest.raises(UserError, match="is not a key"):
        objects.write(key, b"")


def test_the_first_keys_after_a_key_are_listed(objects):
    for name in ("a", "b", "c", "d"):
        objects.write(f"folder/{name}", b"")
    assert objects.first("folder/", 2) == ["folder/a", "folder/b"]
    assert objects.first("folder/", 2, "folder/b") == ["folder/c", "folder/d"]
    assert objects.first("folder/", 5, "folder/bb") == ["folder/c", "folder/d"]
    assert objects.first("folder/", 5, "folder/d") == []
