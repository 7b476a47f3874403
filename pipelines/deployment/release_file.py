"""The release file: how ``releases/<environment>.toml`` is read, and changed without losing a person's comments."""

import os
import tempfile
from pathlib import Path

import tomlkit
from tomlkit.items import Table

from pipelines.config import ReleaseFile, UserError, load_toml

_HEADER = """\
:schema ../docs/schemas/release.json
 What the environment should serve, and how traffic gets there. Written by 'mlops propose'; the reviewed merge of this
 file is the approval. 'model' is the SHA-256 of a model's manifest, which vouches for all of it.
"""


def read_release(folder: Path, environment: str) -> ReleaseFile:
    """Return an environment's release file.

    Raises:
        UserError: when there is none or it is not valid.
    """
    path = _path(folder, environment)
    if not path.exists():
        raise UserError(f"{path} does not exist; write it with 'mlops propose'")
    return load_toml(path, ReleaseFile)


def write_release(folder: Path, environment: str, release: ReleaseFile) -> Path:
    """Change an environment's release file, or make it, in one atomic write, and return its path."""
    path = _path(folder, environment)
    text = changed(path.read_text(encoding="utf-8") if path.exists() else None, release)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".tmp-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)
    return path


def changed(text: str | None, release: ReleaseFile) -> str:
    """Return the text of a release file, or of a new one, with the values of a release."""
    document = _new() if text is None else tomlkit.parse(text)
    values = release.model_dump(mode="json", exclude_none=True)
    for gone in set(document) - set(values):
        del document[gone]
    for name, value in values.items():
        present = document.get(name)
        document[name] = _updated(present, value) if isinstance(present, Table) and isinstance(value, dict) else value
    return tomlkit.dumps(document)


def _updated(table: Table, values: dict[str, object]) -> Table:
    for gone in set(table) - set(values):
        del table[gone]
    table.update(values)
    return table


def _new() -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    for line in _HEADER.splitlines():
        document.add(tomlkit.items.Comment(tomlkit.items.Trivia(comment=f"#{line}")))
    document.add(tomlkit.nl())
    return document


def _path(folder: Path, environment: str) -> Path:
    return folder / f"{environment}.toml"
