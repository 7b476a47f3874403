"""The check of an environment's release log: each transition, and the snapshot that processes start at."""

from pipelines.config import UserError
from pipelines.doctor.findings import Finding, ok, todo
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import Unavailable

_CHECK = "release log"


def examine_release_log(log: ReleaseLog) -> Finding:
    """Read and verify the whole log."""
    try:
        count = sum(1 for _ in log.entries())
    except (UserError, Unavailable, OSError) as error:
        return todo(_CHECK, str(error))
    if log.snapshot_fault:
        return todo(_CHECK, f"{log.snapshot_fault}; delete it, the log itself verifies and a later move writes another")
    return ok(_CHECK, f"{count} transitions in {log.environment}, each signed and in its place")
