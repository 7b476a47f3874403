"""Batches from rows that fit on the device; ``stream.py`` has batches from rows that do not."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.neural.encode import Encoded, Floats


class Batch(NamedTuple):
    """Rows on the device: numbers float32 [rows, N], codes int32 [rows, C], labels float32 [rows]."""

    numbers: Tensor
    codes: Tensor
    labels: Tensor

    def parts(self, count: int) -> "Iterator[Batch]":
        """Return the rows in so many equal parts."""
        yield from map(Batch._make, zip(*(tensor.chunk(count) for tensor in self), strict=True))


class Batches(Protocol):
    """Rows of training, in batches.

    ``rows``: how many there are; ``stalled``: seconds that training has waited for them.
    """

    rows: int
    stalled: float

    def steps(self, size: int, world: int) -> int:
        """Return how many full batches a pass has."""

    def batches(self, epoch: int, size: int, skip: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield the full batches of a pass, without the first ``skip``, in the order of that pass.

        Each batch has ``size`` rows over all processes; this one, ``rank`` of ``world``, gets its part.
        """


class Resident:
    """Rows on the device: a batch is one gather there, and no Python runs for a row."""

    stalled = 0.0

    def __init__(self, encoded: Encoded, labels: Floats, device: torch.device, seed: int) -> None:
        tensors = (encoded.numbers, encoded.codes, labels.astype(np.float32))
        self.all = Batch(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in tensors))
        self.rows, self._seed = len(labels), seed

    def steps(self, size: int, world: int) -> int:  # noqa: ARG002  (rows are the same for every process)
        """Return how many full batches a pass has."""
        return self.rows // size

    def batches(self, epoch: int, size: int, skip: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield batches of a shuffle that depends on seed and epoch alone, so that a resumed pass continues it."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        order = torch.randperm(self.rows, generator=generator).to(self.all.labels.device)
        part = size // world
        for start in range(skip * size + rank * part, self.rows - self.rows % size, size):
            rows = order[start : start + part]
            yield Batch(*(tensor.index_select(0, rows) for tensor in self.all))
