"""The release log opened by another process: from a signed snapshot on, which nobody can forge or outdate."""

import json
import sys
import threading

import pytest

from pipelines.config import UserError
from pipelines.contracts import keys
from pipelines.doctor.findings import FindingState
from pipelines.doctor.release_log import examine_release_log
from pipelines.registry.release_log import SNAPSHOT_EVERY, ReleaseLog
from tests.releasing import MemoryObjects
from tests.unit.deployment.test_releases import file, log, models, released, variant  # noqa: F401


class Counting(MemoryObjects):
    """Counts what is asked of the store."""

    def __init__(self, stored=None):
        super().__init__()
        self._objects = dict(stored or {})
        self.asked = []
        self.reads = []

    def read(self, key):
        self.asked.append(key)
        self.reads.append(key)
        return super().read(key)

    def keys(self, prefix):
        self.asked.append(prefix)
        return super().keys(prefix)

    def first(self, prefix, limit, after=""):
        self.asked.append(prefix)
        return [
            key
            for key in sorted(self._objects)
            if key.startswith(prefix) and key > after and key.count("/") == prefix.count("/")
        ][:limit]


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


def signed(signer, change):
    """Return a change of a snapshot that the audit key signs again."""

    def changed(stored):
        content = json.dumps({**stored["entry"], **change})
        return f'{{"entry":{content},"signature":{json.dumps(signer.sign(content.encode()))}}}'.encode()

    return changed


ODD_SNAPSHOTS = {
    "no JSON": (lambda _signer: lambda _stored: b"\xff{", "is no snapshot"),
    "empty": (lambda _signer: lambda _stored: b"", "is no snapshot"),
    "other JSON": (lambda _signer: lambda _stored: b'{"x": 1}', "is no snapshot"),
    "unsigned": (lambda _signer: lambda stored: json.dumps(stored | {"signature": "AAAA"}).encode(), "is not signed"),
    "changed": (
        lambda _signer: lambda stored: json.dumps({**stored, "entry": {**stored["entry"], "number": 80}}).encode(),
        "is not signed by the audit key",
    ),
    "of another layout": (lambda signer: signed(signer, {"number": "many"}), "is no snapshot"),
    "of another environment": (lambda signer: signed(signer, {"environment": "prod"}), "of 'prod'"),
    "of no transition": (lambda signer: signed(signer, {"number": 0}), "is of transition 0"),
}


@pytest.mark.parametrize("odd", ODD_SNAPSHOTS)
def test_a_snapshot_that_does_not_verify_is_told_and_not_used(many, signer, odd, models, caplog):  # noqa: F811
    made, told = ODD_SNAPSHOTS[odd]
    key = keys.release_snapshot("dev")
    trusted = ReleaseLog(many, signer, "dev")
    state, tenures = trusted.state(), trusted.tenures()
    many.write(key, made(signer)(json.loads(many.read(key))))
    opened = ReleaseLog(many, signer, "dev")
    assert (opened.latest().number, opened.state(), opened.tenures()) == (90, state, tenures)
    assert list(opened.tenures()) == list(tenures)
    assert told in opened.snapshot_fault
    assert caplog.text.count(told) == 1
    assert len(list(opened.entries())) == 90
    for number in range(3):  # and moves go on, which write a snapshot that verifies
        released(opened, models, number % 2 + 1)
    assert opened.snapshot_fault is None
    again = ReleaseLog(many, signer, "dev")
    assert (again.latest().number, again.snapshot_fault) == (99, None)


def test_a_snapshot_that_cannot_be_read_does_not_stop_the_log(many, signer):
    class Unreadable(Counting):
        def read(self, key):
            if key == keys.release_snapshot("dev"):
                raise PermissionError(13, "Permission denied")
            return super().read(key)

    opened = ReleaseLog(Unreadable(many._objects), signer, "dev")
    assert opened.latest().number == 90
    assert "cannot be read" in opened.snapshot_fault


@pytest.mark.parametrize("snapshot", ["verifies", "is odd", "is gone"])
@pytest.mark.parametrize("number", [3, 88, 90])
def test_a_tampered_entry_is_refused_whatever_the_snapshot(many, signer, snapshot, number):
    key = keys.release_snapshot("dev")
    if snapshot == "is odd":
        many.write(key, b"{}")
    elif snapshot == "is gone":
        del many._objects[key]
    entry = f"{keys.release_log('dev')}{number:06d}.json"
    many.write(entry, many.read(entry).replace(b'"who":"', b'"who":"not '))
    with pytest.raises(UserError, match=rf"{number:06d}.json is not"):
        list(ReleaseLog(many, signer, "dev").entries())
    if number >= 88 or snapshot != "verifies":
        with pytest.raises(UserError, match=rf"{number:06d}.json is not"):
            ReleaseLog(many, signer, "dev").latest()


@pytest.mark.parametrize("last", [0, 50, 87])
def test_a_cut_tail_is_told_by_where_the_log_ends(many, signer, last):
    for number in range(last + 1, 91):
        del many._objects[f"{keys.release_log('dev')}{number:06d}.json"]
    told = f"ends at {last}, the snapshot says 88: entries are missing"
    with pytest.raises(UserError, match=told):
        ReleaseLog(many, signer, "dev").latest()
    with pytest.raises(UserError, match=told):
        list(ReleaseLog(many, signer, "dev").entries())


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


def test_the_doctor_verifies_the_whole_log_and_its_snapshot(many, signer):
    assert examine_release_log(ReleaseLog(many, signer, "dev")).says.startswith("90 transitions in dev")
    key = keys.release_snapshot("dev")
    kept = many.read(key)
    many.write(key, b"{}")
    found = examine_release_log(ReleaseLog(many, signer, "dev"))
    assert (found.state, "is no snapshot" in found.says) == (FindingState.TODO, True)
    many.write(key, kept)
    many.write(f"{keys.release_log('dev')}000003.json", b"{}")
    found = examine_release_log(ReleaseLog(many, signer, "dev"))
    assert (found.state, "000003.json is no transition" in found.says) == (FindingState.TODO, True)


def test_threads_that_share_a_log_see_no_tampering(models, signer):  # noqa: F811
    shared, done, faults = ReleaseLog(MemoryObjects(), signer, "dev"), threading.Event(), []

    def poll():
        while not done.is_set():
            try:
                shared.tenures()
            except UserError as fault:
                faults.append(fault)
                return

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for poller in pollers:
            poller.start()
        for number in range(30):
            released(shared, models, number % 2 + 1)
    finally:
        done.set()
        sys.setswitchinterval(before)
        for poller in pollers:
            poller.join()
    assert faults == []
    assert len(list(shared.entries())) == 90
