"""The group of processes that train together: one, or those that torchrun started."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ProcessGroup:
    """This process among ``world``, and the device it computes on."""

    device: torch.device
    rank: int = 0
    world: int = 1

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.world
        return values

    def gather(self, value: Tensor) -> list[Tensor]:
        """Return the value of each process, by rank."""
        if self.world == 1:
            return [value]
        gathered: list[Tensor] = [torch.empty(0)] * self.world
        distributed.all_gather_object(gathered, value)
        return gathered


def gpus() -> int:
    """Return how many GPUs this machine has."""
    return torch.cuda.device_count()


@contextmanager
def training_group(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, over NCCL on GPUs and gloo without; leave them at the end."""
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if not distributed.is_torchelastic_launched():
        yield ProcessGroup(torch.device("cuda" if cuda else "cpu"))
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        rank = distributed.get_rank()
        chosen = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(chosen)
        yield ProcessGroup(chosen, rank, distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
