"""The release log: what an environment serves and how it got there, one immutable object for each transition.

``releases/<environment>/<number>.json`` in the object store. Only one of several writers can create the next number,
so the log is also the lock. Each entry carries the SHA-256 of the one before and a signature by the audit key, whose
private half is not in the store, so readers detect a changed, removed or forged entry.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from pipelines.config import ReleaseEntry, ReleaseState, UserError, Variant
from pipelines.contracts import keys
from pipelines.storage.ports import ObjectStore, Signer, Unavailable

log = logging.getLogger(__name__)

_ENTRY = re.compile(r"[0-9]{6,}\.json")
"""The name of an entry; another engine or a person may leave other files beside them."""


SNAPSHOT_EVERY = 8
"""Transitions between snapshots: a process that opens the log reads at most as many entries, and one more."""
_CHANGED = "is not what the snapshot was made from"
_ANY = "any"
"""In place of a SHA-256: whichever entry came before."""


class Conflict(Exception):
    """Another process appended a transition first; read the state and decide again."""


class _Signed(msgspec.Struct):
    """The stored form: the signature is of the entry's bytes, so that a later version of the schema can check it."""

    entry: msgspec.Raw
    signature: str


class _Snapshot(msgspec.Struct):
    """How far the log of an environment went, and when each champion ended; a reader goes on from there.

    ``sha256`` is of the stored entry of that number, which is read and verified like any other, so a snapshot adds
    nothing to what the log says but a place to start at and the champions before it.
    """

    environment: str
    number: int
    sha256: str
    tenures: list[tuple[str, int, datetime | None]]


class ReleaseLog:
    """The release log of one environment.

    A process that opens the log starts at the latest signed snapshot and reads the entries after it; :meth:`entries`
    verifies the whole log. A snapshot is a cache: where it does not verify, the whole log is read and verified instead.
    Threads may share one: a service's poller reads while a transition is appended.

    Attributes:
        snapshot_fault: why the snapshot was not trusted when the log was opened; None where it was, or there is none.
    """

    def __init__(self, objects: ObjectStore, signer: Signer, environment: str) -> None:
        self._objects, self._signer, self.environment = objects, signer, environment
        self.known = 0  # entries never change, so what was read once need not be looked for again
        self.snapshot_fault: str | None = None
        self._latest: ReleaseEntry | None = None
        self._sha256: str | None = None
        self._tenures: dict[Variant, datetime | None] = {}
        self._lock = threading.RLock()  # where the log was read to and the SHA-256 there change together

    def state(self) -> ReleaseState:
        """Return the state after the latest transition."""
        entry = self.latest()
        return entry.state if entry else ReleaseState()

    def latest(self) -> ReleaseEntry | None:
        """Return the latest transition: one read when nothing is new.

        Raises:
            UserError: when a transition is not signed by the audit key or does not follow the one before it, or when
                the log lacks transitions that its snapshot saw.
        """
        with self._lock:
            if self._latest is None:
                self._start_at_snapshot()
            while (data := self._objects.read(self._key(self.known + 1))) is not None:
                self._follow(self._checked(data, self.known + 1, self._sha256), data)
            return self._latest

    def tenures(self) -> Mapping[Variant, datetime | None]:
        """Return each model that was champion, by its latest coming into service, and until when; None until now."""
        with self._lock:
            self.latest()
            return dict(self._tenures)

    def append(self, entry: ReleaseEntry) -> ReleaseEntry:
        """Chain, sign and add a transition that was made from the latest one known here, and return it.

        Raises:
            Conflict: when another transition took its number.
        """
        with self._lock:
            chained = entry.model_copy(update={"previous_sha256": self._sha256})
            data = chained.to_json()
            signed = msgspec.json.encode(_Signed(msgspec.Raw(data), self._signer.sign(data)))
            if entry.number != self.known + 1 or not self._objects.create(self._key(entry.number), signed):
                raise Conflict(f"release log {self.environment}: transition {entry.number} exists")
        if entry.number % SNAPSHOT_EVERY == 0:
            try:
                with self._lock:
                    self.latest()
                    self._write_snapshot()
            except (Unavailable, OSError) as error:  # the transition is made, and the next snapshot takes it in
                log.warning("snapshot not written environment=%s reason=%s", self.environment, error)
        return chained

    def entries(self) -> Iterator[ReleaseEntry]:
        """Yield every transition, oldest first; errors as :meth:`latest`."""
        snapshot = self._trusted_snapshot()  # before the listing, which then has at least what the snapshot saw
        previous, number = None, 0
        keys = filter(self._is_entry, self._objects.keys(self._folder))
        for number, key in enumerate(keys, start=1):
            data = self._objects.read(key) or b""
            entry = self._checked(data, number, previous)
            previous = hashlib.sha256(data).hexdigest()
            if snapshot and number == snapshot.number and previous != snapshot.sha256:
                raise self._tampered(number, _CHANGED)
            yield entry
        if snapshot and number < snapshot.number:
            raise self._cut(number, snapshot.number)

    def _follow(self, entry: ReleaseEntry, data: bytes) -> None:
        """Take the next transition in."""
        before = self._latest.state.champion if self._latest else None
        champion = entry.state.champion
        if champion != before:
            if before:
                self._tenures[before] = entry.at
            if champion:
                self._tenures.pop(champion, None)
                self._tenures[champion] = None
        self._latest, self.known, self._sha256 = entry, entry.number, hashlib.sha256(data).hexdigest()

    def _write_snapshot(self) -> None:
        assert self._sha256, "a transition was just added"
        tenures = [(one.model, one.version, until) for one, until in self._tenures.items()]
        data = msgspec.json.encode(_Snapshot(self.environment, self.known, self._sha256, tenures))
        signed = _Signed(msgspec.Raw(data), self._signer.sign(data))
        self._objects.write(keys.release_snapshot(self.environment), msgspec.json.encode(signed))
        self.snapshot_fault = None

    def _start_at_snapshot(self) -> None:
        """Go on from the latest snapshot, if there is one that verifies.

        Raises:
            UserError: when the log lacks the entry that the snapshot was made from, or has another in its place.
        """
        snapshot = self._trusted_snapshot()
        if snapshot is None:
            return
        data = self._objects.read(self._key(snapshot.number))
        if data is None:
            there = filter(self._is_entry, self._objects.keys(self._folder))
            last = max((int(key.removeprefix(self._folder).removesuffix(".json")) for key in there), default=0)
            if last < snapshot.number:
                raise self._cut(last, snapshot.number)
            raise self._tampered(snapshot.number, "is missing")
        if hashlib.sha256(data).hexdigest() != snapshot.sha256:
            raise self._tampered(snapshot.number, _CHANGED)
        entry = self._checked(data, snapshot.number, _ANY)
        self._latest, self.known, self._sha256 = entry, snapshot.number, snapshot.sha256
        self._tenures = {Variant(model=model, version=version): until for model, version, until in snapshot.tenures}

    def _trusted_snapshot(self) -> _Snapshot | None:
        """Return the latest snapshot; None where there is none, or none that verifies, which is then logged."""
        key = keys.release_snapshot(self.environment)
        try:
            stored = self._objects.read(key)
            if stored is None:
                return None
            signed = msgspec.json.decode(stored, type=_Signed)
            if not self._signer.verify(bytes(signed.entry), signed.signature):
                fault = "is not signed by the audit key"
            else:
                snapshot = msgspec.json.decode(bytes(signed.entry), type=_Snapshot)
                if snapshot.environment == self.environment and snapshot.number > 0:
                    return snapshot
                fault = f"is of transition {snapshot.number} of {snapshot.environment!r}"
        except ValueError:
            fault = "is no snapshot"
        except (Unavailable, OSError) as error:
            fault = f"cannot be read ({error})"
        if self.snapshot_fault is None:
            log.warning(
                "snapshot not trusted, reading the whole log environment=%s %s %s", self.environment, key, fault
            )
        self.snapshot_fault = f"{key} {fault}"
        return None

    def strays(self) -> list[str]:
        """Return the keys in the log's folder that are no transition's, such as ``.DS_Store``: they mean nothing."""
        return [key for key in self._objects.keys(self._folder) if not self._is_entry(key)]

    @property
    def _folder(self) -> str:
        return keys.release_log(self.environment)

    def _is_entry(self, key: str) -> bool:
        return _ENTRY.fullmatch(key.removeprefix(self._folder)) is not None

    def _checked(self, data: bytes, number: int, previous: str | None) -> ReleaseEntry:
        try:
            signed = msgspec.json.decode(data, type=_Signed)
            entry = ReleaseEntry.from_json(bytes(signed.entry))
        except ValueError as error:  # of msgspec and of pydantic
            raise self._tampered(number, "is no transition") from error
        if not self._signer.verify(bytes(signed.entry), signed.signature):
            raise self._tampered(number, "is not signed by the audit key")
        if entry.number != number or previous not in (_ANY, entry.previous_sha256):
            raise self._tampered(number, "does not follow the entry before it")
        return entry

    def _tampered(self, number: int, how: str) -> UserError:
        return UserError(f"the release log was tampered with: {self._key(number)} {how}")

    def _cut(self, last: int, seen: int) -> UserError:
        return UserError(
            f"the release log of {self.environment!r} ends at {last}, the snapshot says {seen}: entries are missing; "
            f"restore what followed {last} in the object store"
        )

    def _key(self, number: int) -> str:
        return f"{self._folder}{number:06d}.json"
