"""Trains in a process of its own, to be killed, or one of several that torchrun starts; writes what happened."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from pipelines.neural.checkpoint import Checkpoints
from pipelines.neural.group import training_group
from pipelines.neural.loop import LoopWatch
from tests.neural.test_loop import trained

EVERY = 5


def main(folder: Path, pause: str, settings: str) -> None:
    """Tell each step on standard output, ``pause`` seconds after it was made, so that a kill finds its place."""
    made = []
    torch.set_num_threads(1)
    with training_group("cpu") as group:

        def step() -> None:
            made.append(1)
            if group.rank == 0:
                print(len(made), flush=True)  # noqa: T201
            time.sleep(float(pause))

        checkpoints = Checkpoints(folder, "test")
        history, _ = trained(checkpoints, LoopWatch(step=step), group=group, **json.loads(settings))
    if group.rank == 0:
        (folder / "history.json").write_text(json.dumps(asdict(history)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
