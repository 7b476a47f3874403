"""The object store as files under a folder."""

import heapq
import os
import tempfile
from pathlib import Path

from pipelines.storage.key_check import checked


class FileObjects:
    """Implements :class:`pipelines.storage.ports.ObjectStore`; a key is a path below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
