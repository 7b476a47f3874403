"""What the environment takes while it is watched: of its pods, of the whole node, and of the emulator."""

import subprocess
import threading
from typing import Any, Self

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Watching:
    """Looks every five seconds, and writes the peaks down: in MiB, of all pods of the namespace together."""

    def __init__(self, namespace: str, figures: dict[str, Any]) -> None:
        self._namespace, self._figures, self._peaks = namespace, figures, {}
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._figures["peak MiB"] = self._peaks

    def _watch(self) -> None:
        while not self._ended.wait(5):
            now = {"pods": _top("pods", "-n", self._namespace), "node": _top("nodes"), "emulator": _emulator()}
            self._peaks = {name: max(value, self._peaks.get(name, 0)) for name, value in now.items()}


def _top(*what: str) -> int:
    done = subprocess.run(["kubectl", "top", *what, "--no-headers"], capture_output=True, text=True, check=False)
    column = 3 if what[0] == "nodes" else 2
    return sum(_mib(line.split()[column]) for line in done.stdout.splitlines())


def _mib(text: str) -> int:
    return int(text[:-2]) * _UNITS[text[-2:]] // 2**20


def _emulator() -> int:
    done = subprocess.run(["ps", "-eo", "rss,args"], capture_output=True, text=True, check=False)
    return sum(int(line.split()[0]) for line in done.stdout.splitlines() if "moto.server" in line) // 1024
