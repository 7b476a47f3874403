"""Records what this process asks of AWS by botocore, and holds each request against the models of the services."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import botocore.handlers

from tests.aws.service_models import faults


class Call(NamedTuple):
    """A request: the service and operation as botocore names them, and the arguments before they are serialised."""

    service: str
    operation: str
    given: dict[str, Any]


class Recorded:
    """What was asked since the recording began, and what AWS would have refused of it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults: list[str] = []

    @property
    def operations(self) -> set[tuple[str, str]]:
        """The service and the operation of all calls."""
        return {(call.service, call.operation) for call in self.calls}


_recordings: list[Recorded] = []
_lock = threading.Lock()


@contextmanager
def recording() -> Iterator[Recorded]:
    """Record every call of clients of this process until the end of the block."""
    recorded = Recorded()
    with _lock:
        _recordings.append(recorded)
    try:
        yield recorded
    finally:
        with _lock:
            _recordings.remove(recorded)


def _record(params: Any, model: Any, **_: Any) -> None:
    if not _recordings:
        return
    call = Call(model.service_model.service_name, model.name, dict(params))
    found = faults(*call)
    with _lock:
        for recorded in _recordings:
            recorded.calls.append(call)
            recorded.faults += found


# Each session of botocore that is made from now on takes these handlers; moto puts itself in by the same list.
botocore.handlers.BUILTIN_HANDLERS.append(("before-parameter-build", _record))
