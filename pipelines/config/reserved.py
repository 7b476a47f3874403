"""Names that the engine gives to columns of its own, beside those of a problem."""

from collections.abc import Iterable

from pipelines.config.errors import UserError

RAW = ("known_from", "known_until")
"""Beside the columns of a raw table: from when and until when a row was known."""

QUARANTINE = ("quarantine_day", "quarantine_rule", "quarantine_run", "quarantine_known_at")
"""Beside the columns of a row in quarantine: its day, what it breaks, the run that put it there, and since when."""

REQUEST = ("known_at", "label")
"""Beside the request's columns in a training frame: when the label was known, and what it is."""

FEATURE = ("key", "event_time", "known_at", "label", "effective_time", "prediction")
"""Beside features in frames, in the tables of views, and in those of predictions."""

ENTITY = ("event_time", "effective_time", "asked", "position")
"""Beside a view's entity, in its table and in the point-in-time join."""


def refuse(what: str, names: Iterable[str], reserved: Iterable[str]) -> None:
    """Raise for a name that the engine uses.

    Raises:
        UserError: naming the first of them.
    """
    for name in names:
        if name in reserved:
            raise UserError(f"{what} {name!r} has a name that the engine uses ({', '.join(reserved)}); rename it")
