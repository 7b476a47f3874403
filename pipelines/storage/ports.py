"""The ports: what the pipelines need of their platform, where platforms differ.

A port exists only where two implementations do: files and SQLite (``adapters/local``), and S3, DynamoDB, SQS and KMS
(``adapters/aws``). MLflow, Iceberg and ONNX are the same everywhere and have none.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from monitoring.measures import Measure


class Unavailable(Exception):
    """A store does not answer, or refuses us; the text says which and why. No operation is left half done."""


class ObjectStore(Protocol):
    """Small and large objects by key, each written whole or not at all. Keys use ``/`` and no ``..``.

    Every method raises :class:`Unavailable`, or OSError where the store is a disk, when the store does not answer.
    """

    def read(self, key: str) -> bytes | None:
        """Return the object, or None when there is none."""

    def write(self, key: str, data: bytes) -> None:
        """Write the object, replacing what was there."""

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if there is none under this key, and say whether this call did; one of many callers wins."""

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted; all of them, so it should bound their number."""

    def first(self, prefix: str, limit: int, after: str = "") -> list[str]:
        """Return the first ``limit`` keys, after one if given, in a folder, whose name ends in ``/``; one listing."""

    def folders(self, prefix: str) -> list[str]:
        """Return the names, sorted, between ``prefix``, which is empty or ends in ``/``, and the next ``/``."""


class OnlineRow(NamedTuple):
    """The latest values of an entity: numbers, strings or None, in the order of the view's features."""

    event_time: datetime
    values: tuple[float | str | None, ...]


NONE_WITHDRAWN: Mapping[tuple[str, str], Collection[datetime]] = {}
"""What most writes to an online store withdraw."""


class OnlineStore(Protocol):
    """The latest feature values of each entity, by view and entity key.

    ``remote`` says whether a read waits for a network, so that it is no work for an event loop.
    """

    remote: bool

    def write(
        self,
        rows: Mapping[tuple[str, str], OnlineRow],
        as_of: Mapping[str, datetime],
        withdrawn: Mapping[tuple[str, str], Collection[datetime]] = NONE_WITHDRAWN,
    ) -> None:
        """Store rows by (view, entity key), each whole, and then up to which moment each view is complete.

        An older row never replaces a newer one, but for one of an event time that is ``withdrawn``: that gives way to
        the row given, or goes. No ``as_of`` moves back. What fails half way can be done again.
        """

    def read(self, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], OnlineRow]:
        """Return the rows that exist for these (view, entity key) pairs, in one round trip.

        Raises:
            Unavailable: when the store does not answer soon, or is not there.
        """

    def as_of(self, view: str) -> datetime | None:
        """Return the moment up to which the view is complete, or None when it was never materialised."""

    def forget(self, view: str) -> None:
        """Delete what there is of a view that nobody uses, unless it expires by itself."""


class Message(NamedTuple):
    """A queued message; ``receipt`` is what :meth:`Queue.delete` wants."""

    receipt: str
    body: bytes


class Depth(NamedTuple):
    """About how many messages wait in a queue, and how many were given up."""

    waiting: int
    dead: int


class Queue(Protocol):
    """JSON objects that stay until they are deleted, about the oldest first.

    A message may be received more than once, so what it asks for must be safe to do twice.
    """

    def send(self, body: bytes) -> None:
        """Add a message; it may come back with other white space."""

    def receive(self, limit: int = 100) -> Sequence[Message]:
        """Return up to ``limit`` messages without deleting them; they may be hidden for a while from who asks next."""

    def delete(self, receipts: Iterable[str]) -> None:
        """Delete messages; those already gone are no error."""

    def depth(self) -> Depth:
        """Return how many messages there are, but for those that are hidden just now."""


class Signer(Protocol):
    """An environment's audit key: it signs what happened, and anybody can check the signature."""

    def sign(self, data: bytes) -> str:
        """Return a signature of the data."""

    def verify(self, data: bytes, signature: str) -> bool:
        """Say whether this key made the signature of this data."""


class MetricsSink(Protocol):
    """Publishes the metrics of batch runs, which alarms watch."""

    def send(self, work: str, measures: Iterable[Measure]) -> None:
        """Replace the last metrics of this kind of work; raises :class:`Unavailable`, or OSError."""
