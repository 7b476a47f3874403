"""Checkpoints: the whole state of a training, written by a thread, so that a kill loses at most an interval.

The file is replaced atomically, so a reader finds the last complete one. It is read with ``weights_only``, which runs
no code.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

State = dict[str, Any]


class Checkpoints:
    """The latest checkpoint of one training; ``fingerprint`` names its data and settings."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.path, self._fingerprint = folder / "checkpoint.pt", fingerprint
        self._writer: threading.Thread | None = None
        self._failure: Exception | None = None

    def load(self) -> State | None:
        """Return the last state of this training, or None; the state of another training does not count."""
        if not self.path.exists():
            return None
        state: State = torch.load(self.path, map_location="cpu", weights_only=True)
        if state.pop("fingerprint") != self._fingerprint:
            log.info("a checkpoint of other data or settings was left aside path=%s", self.path)
            return None
        return state

    def save(self, state: State) -> None:
        """Copy the state now, and write it while training goes on; wait first for a write that still runs."""
        copied = _on_host({**state, "fingerprint": self._fingerprint})
        self.wait()
        self._writer = threading.Thread(target=self._write, args=(copied,))
        self._writer.start()

    def wait(self) -> None:
        """Wait until the last state is on disk, and raise the error of its write, if any."""
        if self._writer:
            self._writer.join()
        if self._failure:
            raise self._failure

    def _write(self, state: State) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except Exception as error:
            self._failure = error


def _on_host(value: Any) -> Any:
    """Return a copy that training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _on_host(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_on_host(part) for part in value]
    return value
