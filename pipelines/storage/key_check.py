"""Valid keys of an object store, the same on all platforms."""

from pathlib import PurePosixPath

from pipelines.config.errors import UserError


def checked(key: str) -> str:
    """Return the key.

    Raises:
        UserError: when it leads out of the store.
    """
    path = PurePosixPath(key)
    if ".." in path.parts or path.is_absolute():
        raise UserError(f"{key!r} is not a key: it must stay below the store's root")
    return key
