"""A batch inference that kills its own process: ``python -m tests.e2e.killing_batch HOME PROBLEM INPUT OUTPUT WHEN``.

WHEN is ``boundary`` (a chunk is on disk), ``features`` (in the middle of a chunk), ``writing`` (a part is written, and
not yet under its name), ``joining`` (the output is, and not yet under its name) or ``never``. Each lets two chunks
pass before. Prints what was predicted and what was resumed.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

from pipelines.batch.predict import predict
from pipelines.batch.requests import of_file
from pipelines.config import Variant
from tests.conftest import make_platform

CHUNK_ROWS, CHUNKS = 100, 5


def main(home: Path, problem: str, given: Path, output: Path, when: str) -> None:
    platform = make_platform(home, problem)
    digest, version = platform.models.resolve("v1")
    seen = {name: count(1) for name in ("boundary", "features", "written")}
    synced, read = os.fsync, platform.tables.read

    def die(here: str, counted: str, at: int) -> None:
        if next(seen[counted]) == at and here == when:
            os.kill(os.getpid(), signal.SIGKILL)

    def reading(*arguments, **options):
        rows = read(*arguments, **options)
        die("features", "features", 2 * len(platform.problem.views) + 1)
        return rows

    def syncing(handle):
        synced(handle)
        die(when, "written", {"writing": 3, "joining": CHUNKS + 1}.get(when, 0))

    os.fsync, platform.tables.read = syncing, reading
    done = predict(
        platform.problem,
        platform.tables,
        platform.models,
        Variant(model=digest, version=version),
        of_file(platform.problem, given),
        output,
        lambda _: die("boundary", "boundary", 2),
        CHUNK_ROWS,
    )
    sys.stdout.write(f"{done.rows} {done.resumed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
