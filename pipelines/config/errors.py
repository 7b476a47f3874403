"""Errors that a person can fix."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Says what happened, with which value, and what to do next; the CLI prints it without a traceback."""


class DataError(UserError):
    """Rows, or settings of the problem, that cannot be used; it names the table, the column and an example."""


class Refused(UserError):
    """A gate, a rule or a missing approval refuses the request; the CLI exits with a code of its own."""


class WrongUsage(UserError):
    """A name or a value on the command line cannot be right, whatever the stores hold; the CLI exits as click does."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the end of an error message that names the nearest valid name, or all of them when none is near."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid names: {', '.join(names) or 'none'}"
