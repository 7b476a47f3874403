"""The object store as files under a folder.

Releases have space in reserve, so that a full disk does not stop a rollback: a file that a write of theirs shortens by
what it needs when it finds no space, and that the next one that finds some makes whole.
"""

import contextlib
import errno
import heapq
import os
import tempfile
from pathlib import Path

from pipelines.contracts import keys
from pipelines.storage.key_check import checked

_FULL = (errno.ENOSPC, errno.EDQUOT)
_URGENT = (keys.RELEASES, keys.SERVING)
_RESERVED_BYTES = 2**19
_OVERHEAD_BYTES = 3 * 2**12  # the end of the last block, and a folder or two


class FileObjects:
    """Implements :class:`pipelines.storage.ports.ObjectStore`; a key is a path below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._reserve = root / ".tmp-reserve"

    def read(self, key: str) -> bytes | None:
        """See the port."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes) -> None:
        """See the port: a temporary file renamed over the old one."""
        self._temporary(key, data).replace(self._path(key))

    def create(self, key: str, data: bytes) -> bool:
        """See the port: a hard link, which fails when the name exists."""
        if self._path(key).exists():
            return False
        temporary = self._temporary(key, data)
        try:
            self._path(key).hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def keys(self, prefix: str) -> list[str]:
        """See the port."""
        folder = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        found = (p.relative_to(self.root).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(key for key in found if key.startswith(prefix) and not key.rpartition("/")[2].startswith(".tmp-"))

    def first(self, prefix: str, limit: int, after: str = "") -> list[str]:
        """See the port; only files directly in the folder."""
        folder = self._path(prefix)
        names = (entry.name for entry in os.scandir(folder) if entry.is_file()) if folder.is_dir() else ()
        listed = (prefix + name for name in names if not name.startswith(".tmp-"))
        return heapq.nsmallest(limit, (key for key in listed if key > after))

    def folders(self, prefix: str) -> list[str]:
        """See the port."""
        return sorted(path.name for path in self._path(prefix).glob("*") if path.is_dir())

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    def _temporary(self, key: str, data: bytes) -> Path:
        if not key.startswith(_URGENT):
            return self._written(key, data)
        try:
            file = self._written(key, data)
        except OSError as error:
            if error.errno not in _FULL or not self._free(len(data) + _OVERHEAD_BYTES):
                raise
            file = self._written(key, data)
        self._keep_reserve()
        return file

    def _free(self, size: int) -> bool:
        """Take from the reserve; say whether it had so many bytes."""
        left = _size(self._reserve) - size
        if left >= 0:
            os.truncate(self._reserve, left)
        return left >= 0

    def _keep_reserve(self) -> None:
        lacks = _RESERVED_BYTES - _size(self._reserve)
        if lacks > 0:
            with contextlib.suppress(OSError), self._reserve.open("ab", buffering=0) as file:
                file.write(bytes(lacks))

    def _written(self, key: str, data: bytes) -> Path:
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # on a full disk, what is left of each attempt would take what others free
            Path(name).unlink()
            raise
        return Path(name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
