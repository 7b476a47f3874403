"""The function on Lambda that starts the workflow of continuous training when a trigger arrives.

It only wakes the workflow, which reads the queue, so a lost call costs the time to the next poll.
"""

from functools import cache
from typing import Any

from pipelines.bootstrap import Platform
from pipelines.config import UserError
from pipelines.settings import Settings

EVENT = "trigger"


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Send a trigger's environment and reason to GitHub; raises every failure, so that Lambda calls again."""
    platform = _platform()
    reason = str(event.get("detail", {}).get("reason", ""))[:1000]
    if platform.aws.github is None:
        raise UserError(f"{platform.settings.environment!r} states no dispatch, so GitHub is told of nothing")
    platform.aws.github.dispatch(EVENT, {"environment": platform.settings.environment, "reason": reason})
    return {"dispatched": EVENT}


@cache
def _platform() -> Platform:
    return Platform(Settings.read())
