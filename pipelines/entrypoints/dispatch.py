"""The function on Lambda that wakes the workflow of continuous training when a trigger comes; the queue still holds it.

It only rings: what is to be done is read from the queue, so a call that is lost costs the time to the next poll.
"""

from functools import cache
from typing import Any

from pipelines.bootstrap import Platform
from pipelines.config import UserError
from pipelines.settings import Settings

EVENT = "trigger"


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Tell GitHub of a trigger, by the environment and the reason; what fails is raised, so that Lambda calls again."""
    platform = _platform()
    reason = str(event.get("detail", {}).get("reason", ""))[:1000]
    if platform.aws.github is None:
        raise UserError(f"{platform.settings.environment!r} states no dispatch, so GitHub is told of nothing")
    platform.aws.github.dispatch(EVENT, {"environment": platform.settings.environment, "reason": reason})
    return {"dispatched": EVENT}


@cache
def _platform() -> Platform:
    return Platform(Settings.read())
