"""What checks find."""

from enum import StrEnum

from pipelines.config import StrictModel


class FindingState(StrEnum):
    """What a finding asks for: nothing, something, or only to be known."""

    OK = "ok"
    TODO = "todo"
    NOTE = "note"


class Finding(StrictModel):
    """What one check found."""

    check: str
    state: FindingState
    says: str


def ok(check: str, says: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check=check, state=FindingState.OK, says=says)


def todo(check: str, says: str) -> Finding:
    """Return a finding that asks for something, and says what."""
    return Finding(check=check, state=FindingState.TODO, says=says)


def note(check: str, says: str) -> Finding:
    """Return a finding that is only to be known."""
    return Finding(check=check, state=FindingState.NOTE, says=says)
