"""The findings of checks."""

from enum import StrEnum

from pipelines.config import StrictModel


class FindingState(StrEnum):
    """What a finding asks for: nothing, an action, or attention."""

    OK = "ok"
    TODO = "todo"
    NOTE = "note"


class Finding(StrictModel):
    """A finding of a check."""

    check: str
    state: FindingState
    says: str


def ok(check: str, says: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, state=FindingState.OK, says=says)


def todo(check: str, says: str) -> Finding:
    """Return a finding that asks for an action, and says which."""
    return Finding(check=check, state=FindingState.TODO, says=says)


def note(check: str, says: str) -> Finding:
    """Return a finding for information."""
    return Finding(check=check, state=FindingState.NOTE, says=says)
