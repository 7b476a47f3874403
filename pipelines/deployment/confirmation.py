"""Confirmation of a transition by the serving app: which instances serve it, refused it, or have not answered."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pipelines.serving.instances import InstanceReport, alive

_LOOK_SECONDS = 0.2


class Confirmation(NamedTuple):
    """The live instances, grouped by what they report about a transition."""

    confirmed: tuple[InstanceReport, ...]
    refused: tuple[InstanceReport, ...]
    silent: tuple[InstanceReport, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every instance serves the transition."""
        return not self.refused and not self.silent

    def __str__(self) -> str:
        instances = len(self.confirmed) + len(self.refused) + len(self.silent)
        if not instances:
            return "not confirmed: no instance of the serving app is running"
        text = f"confirmed by {len(self.confirmed)} of {instances} instances"
        missing = [f"{one.instance} refused it: {one.standing.error}" for one in self.refused]
        missing += [f"{one.instance} still serves transition {one.standing.serves}" for one in self.silent]
        return f"{text}; not confirmed: {'; '.join(missing)}" if missing else text


def confirmation(reports: Iterable[InstanceReport], transition: int) -> Confirmation:
    """Group the live instances by what they report about a transition or a later one."""
    heard = alive(list(reports))
    reached = [one for one in heard if one.standing.transition >= transition]
    return Confirmation(
        confirmed=tuple(one for one in reached if not one.standing.error),
        refused=tuple(one for one in reached if one.standing.error),
        silent=tuple(one for one in heard if one.standing.transition < transition),
    )


def confirm(read: Callable[[], Sequence[InstanceReport]], transition: int, seconds: float) -> Confirmation:
    """Wait at most ``seconds`` until every live instance serves or refused a transition."""
    deadline = time.monotonic() + seconds
    while (found := confirmation(read(), transition)).silent and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return found
