"""Fifty processes that make the same move at once: ``python -m tests.e2e.racing FOLDER MOVE``.

They are forked by a process of its own, because a fork must not inherit threads. Prints how many of them won, lost
because another did, and failed in any other way.
"""

import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.signer import FileSigner
from pipelines.config import Refused
from pipelines.deployment.transitions import Actor, approve, roll_back
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from tests.releasing import target

PROCESSES = 50
ENDS = {0: "won", 3: "lost"}


def move(folder: Path, name: str, after: int) -> int:
    log = ReleaseLog(FileObjects(folder / "log"), FileSigner(folder / "keys"), "dev")
    models = ModelStore(FileObjects(folder / "models"))
    actor = Actor(f"process {os.getpid()}", datetime(2024, 3, 1, tzinfo=UTC))
    try:
        if name == "approve":
            state = log.state()
            assert state.proposal
            approve(target(log, models), actor, state.proposal)
        else:
            roll_back(target(log, models), actor, "it errs", after=after)
    except Refused:
        return 3
    return 0


def main(folder: Path, name: str) -> None:
    latest = ReleaseLog(FileObjects(folder / "log"), FileSigner(folder / "keys"), "dev").latest()
    assert latest
    waiting, gate = os.pipe()
    children = []
    for _ in range(PROCESSES):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(gate)
                os.read(waiting, 1)  # until it is closed, which all see at once
                code = move(folder, name, latest.number)
            finally:
                os._exit(code)
        children.append(child)
    os.close(gate)
    ended = Counter(ENDS.get(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "failed") for child in children)
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
