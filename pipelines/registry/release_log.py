"""The release log: what an environment serves and how it got there, one immutable object for each transition.

``releases/<environment>/<number>.json`` in the object store. Only one of several writers can create the next number,
so the log is also the lock. Each entry carries the SHA-256 of the one before and a signature by the audit key, whose
private half is not in the store, so readers detect a changed, removed or forged entry.
"""

import hashlib
import re
from collections.abc import Iterator

import msgspec

from pipelines.config import ReleaseEntry, ReleaseState, UserError
from pipelines.storage.ports import ObjectStore, Signer

_ENTRY = re.compile(r"[0-9]{6,}\.json")
"""The name of an entry; another engine or a person may leave other files beside them."""


class Conflict(Exception):
    """Another process appended a transition first; read the state and decide again."""


class _Signed(msgspec.Struct):
    """The stored form: the signature is of the entry's bytes, so that a later version of the schema can check it."""

    entry: msgspec.Raw
    signature: str


class ReleaseLog:
    """The release log of one environment."""

    def __init__(self, objects: ObjectStore, signer: Signer, environment: str) -> None:
        self._objects, self._signer, self.environment = objects, signer, environment
        self.known = 0  # entries never change, so what was read once need not be looked for again
        self._latest: ReleaseEntry | None = None
        self._sha256: str | None = None

    def state(self) -> ReleaseState:
        """Return the state after the latest transition."""
        entry = self.latest()
        return entry.state if entry else ReleaseState()

    def latest(self) -> ReleaseEntry | None:
        """Return the latest transition: one read when nothing is new.

        Raises:
            UserError: when a transition is not signed by the audit key or does not follow the one before it.
        """
        while (data := self._objects.read(self._key(self.known + 1))) is not None:
            self._latest = self._checked(data, self.known + 1, self._sha256)
            self.known, self._sha256 = self.known + 1, hashlib.sha256(data).hexdigest()
        return self._latest

    def append(self, entry: ReleaseEntry) -> ReleaseEntry:
        """Chain, sign and add a transition that was made from the latest one known here, and return it.

        Raises:
            Conflict: when another transition took its number.
        """
        chained = entry.model_copy(update={"previous_sha256": self._sha256})
        data = chained.to_json()
        signed = msgspec.json.encode(_Signed(msgspec.Raw(data), self._signer.sign(data)))
        if entry.number != self.known + 1 or not self._objects.create(self._key(entry.number), signed):
            raise Conflict(f"release log {self.environment}: transition {entry.number} exists")
        return chained

    def entries(self) -> Iterator[ReleaseEntry]:
        """Yield every transition, oldest first; errors as :meth:`latest`."""
        previous = None
        keys = filter(self._is_entry, self._objects.keys(self._folder))
        for number, key in enumerate(keys, start=1):
            data = self._objects.read(key) or b""
            yield self._checked(data, number, previous)
            previous = hashlib.sha256(data).hexdigest()

    def strays(self) -> list[str]:
        """Return the keys in the log's folder that are no transition's, such as ``.DS_Store``: they mean nothing."""
        return [key for key in self._objects.keys(self._folder) if not self._is_entry(key)]

    @property
    def _folder(self) -> str:
        return f"releases/{self.environment}/"

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
        if entry.number != number or entry.previous_sha256 != previous:
            raise self._tampered(number, "does not follow the entry before it")
        return entry

    def _tampered(self, number: int, how: str) -> UserError:
        return UserError(f"the release log was tampered with: {self._key(number)} {how}")

    def _key(self, number: int) -> str:
        return f"{self._folder}{number:06d}.json"
