"""The exit codes of every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    ERROR = 1
    """Something a person can put right, told in a line."""
    USAGE = 2
    """The command line is wrong, whatever the stores hold; nothing was done."""
    NO = 3
    """Done, and the answer is no: a candidate refused, an alarm raised, a move not allowed, a question declined."""
    INTERRUPTED = 130
    """By Ctrl-C."""
