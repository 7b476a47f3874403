"""The function on Lambda, of the same image: the clock calls it each minute, and alarms call it at once.

An event ``{"run": PIPELINE, "set": ["NAME=VALUE", …]}`` starts a pipeline on SageMaker; that of a tuning job that
ended has its best settings trained and judged; any other, such as the clock's and an alarm's, judges the live release.
What fails is raised, so that Lambda counts it and calls again.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from pipelines.bootstrap import Platform, pipeline
from pipelines.entrypoints.launch import parameters, start_elsewhere, train_the_best
from pipelines.settings import Settings

TUNED = "SageMaker HyperParameter Tuning Job State Change"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Handle an event, and return the result."""
    if "run" in event:
        chosen = pipeline(event["run"])
        params = parameters(chosen.params, event.get("set", []), datetime.now(UTC))
        run_id = _platform().runner.start(chosen, params, event.get("run_id"))
        return {"run_id": run_id, "execution": start_elsewhere(_platform(), chosen, run_id)}
    if event.get("detail-type") == TUNED:
        return {"run_id": train_the_best(_platform(), event["detail"]["HyperParameterTuningJobName"])}
    return _tick(_platform())


def _tick(platform: Platform) -> dict[str, Any]:
    from pipelines.deployment.tick import tick
    from pipelines.deployment.transitions import Actor

    actor = Actor("canary analysis", datetime.now(UTC))
    judged = tick(platform.problem, platform.tables, platform.predictions, platform.release_target, actor)
    if judged is None:
        return {"outcome": "no release is live"}
    verdict, entry = judged
    return {"outcome": verdict.outcome.value, "reason": verdict.reason, "transition": entry.number}


@cache
def _platform() -> Platform:
    """Return the platform, cached between the calls of one Lambda environment."""
    return Platform(Settings.read())
