"""The release log opened by another process: from a signed snapshot on, which nobody can forge or outdate."""

import json

import pytest

from pipelines.config import UserError
from pipelines.contracts import keys
from pipelines.registry.release_log import SNAPSHOT_EVERY, ReleaseLog
from tests.releasing import MemoryObjects
from tests.unit.deployment.test_releases import file, log, models, released, variant  # noqa: F401


class Counting(MemoryObjects):
    """Counts what is asked of the store."""

    def __init__(self, stored=None):
        super().__init__()
        self._objects = dict(stored or {})
        self.asked = []

    def read(self, key):
        self.asked.append(key)
        return super().read(key)

    def keys(self, prefix):
        self.asked.append(prefix)
        return super().keys(prefix)

    def first(self, prefix, limit):
        self.asked.append(prefix)
        return sorted(key for key in self._objects if key.startswith(prefix))[:limit]


@pytest.fixture
def many(models, signer):  # noqa: F811
    objects = Counting()
    written = ReleaseLog(objects, signer, "dev")
    for number in range(30):
        released(written, models, number % 2 + 1)
    return objects


@pytest.fixture
def signer(tmp_path):
    from pipelines.adapters.local.signer import FileSigner

    return FileSigner(tmp_path / "keys")


def test_another_process_reads_few_entries_and_knows_the_same(many, signer):
    first = ReleaseLog(many, signer, "dev")
    entries = list(first.entries())
    many.asked.clear()
    opened = ReleaseLog(many, signer, "dev")
    assert opened.latest() == entries[-1]
    assert len(entries) == 90
    assert len(many.asked) <= SNAPSHOT_EVERY + 3
    order = {}
    for entry in entries:
        if champion := entry.state.champion:
            order.pop(champion, None)
            order[champion] = None
    assert list(opened.tenures()) == list(order)
    assert list(opened.tenures().values())[-1] is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda stored: stored | {"signature": "AAAA"}, "is not signed by the audit key"),
        (lambda stored: {**stored, "entry": {**stored["entry"], "number": 80}}, "is not signed by the audit key"),
        (lambda stored: {"x": 1}, "is no snapshot"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_told(many, signer, change, told):
    key = keys.release_snapshot("dev")
    many.write(key, json.dumps(change(json.loads(many.read(key)))).encode())
    with pytest.raises(UserError, match=told):
        ReleaseLog(many, signer, "dev").latest()


def test_a_log_that_lost_what_its_snapshot_saw_is_told(many, signer):
    number = json.loads(many.read(keys.release_snapshot("dev")))["entry"]["number"]
    del many._objects[f"{keys.release_log('dev')}{number:06d}.json"]
    with pytest.raises(UserError, match=f"{number:06d}.json is missing"):
        ReleaseLog(many, signer, "dev").latest()


def test_a_log_without_a_snapshot_is_read_from_its_beginning(many, signer):
    del many._objects[keys.release_snapshot("dev")]
    assert ReleaseLog(many, signer, "dev").latest().number == 90


def test_a_transition_is_made_where_its_snapshot_cannot_be_written(models, signer, caplog):  # noqa: F811
    class Full(Counting):
        def write(self, key, data):
            raise OSError("no space left on device")

    objects = Full()
    written = ReleaseLog(objects, signer, "dev")
    for number in range(6):
        released(written, models, number % 2 + 1)
    assert ReleaseLog(objects, signer, "dev").latest().number == 18
    assert caplog.text.count("snapshot not written environment=dev reason=no space left on device") == 2
