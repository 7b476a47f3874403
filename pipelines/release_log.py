"""The release log: what an environment serves and how it came to, one immutable object for each transition.

``releases/<environment>/<number>.json`` in the object store. A transition is created under the next number, which
only one of several writers can do, so the log is the lock too. Each entry carries the SHA-256 of the one before, so
that a change shows in whatever follows it; nothing follows the last one, which only signing could vouch for.
"""

import hashlib
from collections.abc import Iterator

from pipelines.ports import ObjectStore
from pipelines.spec import ReleaseEntry, ReleaseState, UserError


class Conflict(Exception):
    """Another process appended a transition first; read the state again and decide anew."""


class ReleaseLog:
    """The release log of one environment."""

    def __init__(self, objects: ObjectStore, environment: str) -> None:
        self._objects, self.environment = objects, environment
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
            UserError: when a transition does not follow the one before it.
        """
        while (data := self._objects.read(self._key(self.known + 1))) is not None:
            self._latest = self._checked(data, self.known + 1, self._sha256)
            self.known, self._sha256 = self.known + 1, hashlib.sha256(data).hexdigest()
        return self._latest

    def append(self, entry: ReleaseEntry) -> None:
        """Add a transition that was made from the latest one.

        Raises:
            Conflict: when another transition took its number.
        """
        if not self._objects.create(self._key(entry.number), entry.to_json()):
            raise Conflict(f"release log {self.environment}: transition {entry.number} exists")

    def entries(self) -> Iterator[ReleaseEntry]:
        """Yield every transition, oldest first; errors as :meth:`latest`."""
        previous = None
        for number, key in enumerate(self._objects.keys(f"releases/{self.environment}/"), start=1):
            data = self._objects.read(key) or b""
            yield self._checked(data, number, previous)
            previous = hashlib.sha256(data).hexdigest()

    def _checked(self, data: bytes, number: int, previous: str | None) -> ReleaseEntry:
        entry = ReleaseEntry.from_json(data)
        if entry.number != number or entry.previous_sha256 != previous:
            raise UserError(
                f"the release log was tampered with: {self._key(number)} does not follow the entry before it"
            )
        return entry

    def _key(self, number: int) -> str:
        return f"releases/{self.environment}/{number:06d}.json"
