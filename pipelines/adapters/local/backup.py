"""Copies a home that is in use, so that the copy is one whole system."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from pipelines.config.errors import UserError
from pipelines.contracts import keys

_DATABASES = (Path("online.db"), Path("events.db"), Path("mlflow", "mlflow.db"), Path("tables", "catalog.db"))
_JOURNALS = ("-wal", "-shm", "-journal")


def back_up(home: Path, into: Path) -> None:
    """Copy a home into a new folder, which appears when all of it is there.

    What refers to something is copied before it: the release log before versions, versions before models, models before
    the catalog, the catalog before the files of tables. So nothing in the copy lacks what it refers to, whatever other
    processes add meanwhile.

    Raises:
        UserError: when there is no home, or something at ``into`` already.
    """
    if not home.is_dir():
        raise UserError(f"{home} does not exist, so there is nothing to back up")
    if into.exists() or home in into.resolve().parents:
        raise UserError(f"{into} exists or lies in the home itself; name a new folder elsewhere")
    part = into.with_name(f".{into.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for prefix in (keys.RELEASES, keys.VERSIONS, ""):
        _copy(home, part, _files(home / "store" / prefix))
    for name in _DATABASES:
        if (home / name).exists():
            _copy_database(home / name, part / name)
    _copy(home, part, _files(home))
    part.rename(into)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".tmp-") and not path.name.endswith(_JOURNALS):
            yield path


def _copy(home: Path, part: Path, files: Iterator[Path]) -> None:
    """Copy the files that are not copied yet."""
    for file in files:
        copy = part / file.relative_to(home)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # deleted meanwhile
                shutil.copy2(file, copy)


def _copy_database(database: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
