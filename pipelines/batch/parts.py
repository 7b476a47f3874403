"""Writes a large output in parts, each atomically, so that a killed run resumes where it stopped.

``<output>.parts/<identity>/`` beside the output holds ``00000.parquet``, ``00001.parquet``, … Other requests, another
model or other features have another identity, so their parts never mix.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import UserError


class Parts:
    """The parts of one output, in a folder that nobody else writes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, number: int) -> bool:
        """Return whether a part was written, by this run or an earlier one."""
        return self._path(number).exists()

    def write(self, number: int, rows: pa.Table) -> None:
        """Write a part atomically."""
        with _whole(self._path(number)) as temporary:
            pq.write_table(rows, temporary, compression="zstd")

    def join(self, count: int, output: Path, metadata: Mapping[str, str]) -> None:
        """Join the parts into one file, CSV or Parquet by its name; Parquet carries the metadata."""
        schema = pq.read_schema(self._path(0)).with_metadata(dict(metadata))
        with _whole(output, self.folder / "joined") as temporary, writer(temporary, output.suffix, schema) as file:
            for number in range(count):
                file.write_table(pq.read_table(self._path(number)).cast(schema))

    def paths(self, count: int) -> list[str]:
        """Return the paths of the first parts."""
        return [str(self._path(number)) for number in range(count)]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.parquet"


@contextmanager
def parts_of(output: Path, identity: str) -> Iterator[Parts]:
    """Open the parts of an output; they are removed at the end, and stay when the run is killed earlier.

    Raises:
        UserError: when another run is writing this output.
    """
    folder = output.with_name(f"{output.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, output)
        for other in folder.iterdir():
            if other.name != identity:
                shutil.rmtree(other)
        (folder / identity).mkdir(exist_ok=True)
        try:
            yield Parts(folder / identity)
        except UserError:  # a corrected input will have another identity
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)
    finally:
        os.close(handle)


def _lock(handle: int, output: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however that ends
    except BlockingIOError as error:
        raise UserError(f"another run is writing {output}; let it end, or choose another output") from error


@contextmanager
def _whole(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to, which replaces ``path`` once its content is on disk."""
    temporary = temporary or path.with_suffix(".tmp")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def writer(path: Path, suffix: str, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer of tables into a file, CSV or Parquet by the suffix."""
    if suffix == ".parquet":
        return pq.ParquetWriter(path, schema, compression="zstd")
    from pyarrow import csv

    return csv.CSVWriter(path, schema)
