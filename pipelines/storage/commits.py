"""Failures of a table's catalog or files: another look at the table's state, or a clear error."""

import random
from collections.abc import Callable
from functools import wraps
from time import sleep
from typing import ParamSpec, TypeVar

from pipelines.storage.ports import Unavailable

_WAITS = (0.5, 1, 2, 4)
"""Seconds, drawn from at random, before another look when it is not known whether a commit succeeded."""

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def told(method: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Have a method raise Unavailable where the files of a table cannot be read or written."""

    @wraps(method)
    def ask(*args: Given.args, **given: Given.kwargs) -> Returned:
        try:
            return method(*args, **given)
        except OSError as error:
            raise Unavailable(f"the tables' files cannot be read or written: {error}") from error

    return ask


class AnotherLook:
    """Lets a commit that came second to another process's, or whose outcome is not known, be followed by another look.

    Raises:
        Unavailable: when the outcome is not known and there is no wait left.
    """

    def __init__(self) -> None:
        self._waits = iter(_WAITS)

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, ValidationException

        if not isinstance(error, CommitStateUnknownException):
            return isinstance(error, CommitFailedException | ValidationException)
        wait = next(self._waits, None)
        if wait is None:
            raise Unavailable(f"the table catalog does not answer ({error}); ask again later") from error
        sleep(random.uniform(0, wait))  # noqa: S311  (jitter keeps no secret)
        return True
