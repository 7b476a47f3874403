"""Batches from rows that do not fit into memory: a thread reads, shuffles and encodes Parquet files ahead of training.

Each pass shuffles the order of row groups, and rows within a pool of :data:`POOL` rows; files in which similar rows
follow each other need small row groups.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow import fs

from pipelines.neural.data import Batch
from pipelines.neural.encode import Codes, Encoding, Floats

POOL = 262_144  # rows that are shuffled together, and the most that wait encoded, besides the batches read ahead
AHEAD = 8  # batches
SAMPLE = 200_000  # rows that an encoding is learnt from


class RowGroup(NamedTuple):
    """A part of a file that is read at once."""

    file: str
    number: int
    rows: int


class Stream:
    """Rows of Parquet files; labels are shifted and scaled as the network learns them.

    Several processes read different row groups, dealt out in turn. ``stalled``: seconds that training waited.
    """

    def __init__(
        self,
        files: Sequence[str],
        encoding: Encoding,
        label: str,
        shift: float,
        scale: float,
        device: torch.device,
        seed: int,
    ) -> None:
        self._encoding, self._label, self._shift, self._scale = encoding, label, shift, scale
        self._device, self._seed = device, seed
        self._groups = row_groups(files)
        self.rows, self.stalled = sum(group.rows for group in self._groups), 0.0

    def steps(self, size: int, world: int) -> int:
        """Return how many full batches a pass has: as many as the process with the fewest rows can fill."""
        return min(sum(group.rows for group in self._groups[rank::world]) // (size // world) for rank in range(world))

    def batches(  # noqa: C901  (the reader is part of it)
        self, epoch: int, size: int, skip: int, rank: int, world: int
    ) -> Iterator[Batch]:
        """Yield the batches of a pass; see :class:`pipelines.neural.data.Batches`."""
        stop, failure = threading.Event(), list[Exception]()
        ahead: queue.Queue[Batch | None] = queue.Queue(AHEAD)

        def put(batch: Batch | None) -> None:
            while not stop.is_set():
                with suppress(queue.Full):
                    ahead.put(batch, timeout=0.1)
                    return

        def read() -> None:
            try:
                for number, batch in enumerate(self._read(epoch, size // world, rank, world)):
                    if stop.is_set():
                        return
                    if number >= skip:
                        put(batch)
            except Exception as error:
                failure.append(error)
            put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            for _ in range(self.steps(size, world) - skip):
                began = time.perf_counter()
                batch = ahead.get()
                self.stalled += time.perf_counter() - began
                if batch is None:
                    break
                yield Batch(*(tensor.to(self._device, non_blocking=True) for tensor in batch))
        finally:
            stop.set()
            reader.join()
        if failure:
            raise failure[0]

    def _read(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield batches of this process's own row groups, in host memory, pinned when a GPU will take them."""
        random = np.random.default_rng((self._seed, epoch, rank))
        mine = self._groups[rank::world]
        pool, pooled = list[tuple[Floats | Codes, ...]](), 0
        for place, chosen in enumerate(random.permutation(len(mine)), start=1):
            pool.append(self._arrays(mine[chosen]))
            pooled += mine[chosen].rows
            if pooled < max(POOL, size) and place < len(mine):
                continue
            order = random.permutation(pooled)
            arrays = [np.concatenate(parts)[order] for parts in zip(*pool, strict=True)]
            full = pooled - pooled % size
            for start in range(0, full, size):
                yield self._batch([array[start : start + size] for array in arrays])
            pool, pooled = [tuple(array[full:] for array in arrays)], pooled - full

    def _arrays(self, group: RowGroup) -> tuple[Floats | Codes, ...]:
        columns = [*self._encoding.numeric, *self._encoding.texts, self._label]
        table = read_group(group, columns)
        labels = table[self._label].cast(pa.float32()).to_numpy()
        return *self._encoding(table), (labels - self._shift) / self._scale

    def _batch(self, arrays: list[Floats | Codes]) -> Batch:
        batch = Batch(*map(torch.from_numpy, arrays))
        return Batch(*(tensor.pin_memory() for tensor in batch)) if self._device.type == "cuda" else batch


def row_groups(files: Sequence[str]) -> list[RowGroup]:
    """Return the row groups of files, which are paths or addresses such as ``s3://bucket/file.parquet``."""
    found = []
    for file in files:
        with _opened(file) as parquet:
            metadata = parquet.metadata
            counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        found += [RowGroup(file, number, rows) for number, rows in enumerate(counts)]
    return found


def read_group(group: RowGroup, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a row group."""
    with _opened(group.file) as parquet:
        return parquet.read_row_group(group.number, columns=list(columns), use_threads=False)


def row_sample(files: Sequence[str], columns: Sequence[str], seed: int) -> pa.Table:
    """Return the rows of random row groups, about :data:`SAMPLE` of them."""
    groups = row_groups(files)
    tables, rows = [], 0
    for chosen in np.random.default_rng(seed).permutation(len(groups)):
        if rows >= SAMPLE:
            break
        tables.append(read_group(groups[chosen], columns))
        rows += groups[chosen].rows
    return pa.concat_tables(tables)


def _opened(file: str) -> pq.ParquetFile:
    if "://" not in file:
        return pq.ParquetFile(file)
    system, path = fs.FileSystem.from_uri(file)
    return pq.ParquetFile(path, filesystem=system)
