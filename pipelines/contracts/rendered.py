"""Pipelines, schedules and alarms for infrastructure: ``mlops render`` writes them, so ``infra`` imports no pipeline.

The texts of a definition have placeholders for what only the stack knows, in double braces: ``{{project}}``,
``{{environment}}``, ``{{account}}``, ``{{region}}``, ``{{image}}``, ``{{role}}``, ``{{bucket}}``, ``{{lake}}``,
``{{key}}``, the settings of training ``{{instance}}``, ``{{spot}}``, ``{{max_seconds}}``, ``{{max_wait_seconds}}``,
``{{keep_alive_seconds}}``, and the lists ``{{subnets}}`` and ``{{security_groups}}``. A placeholder whose value is None
is left out with its key, and so is a network without subnets.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipelines.config.errors import UserError, nearest
from pipelines.config.strict import StrictModel
from pipelines.contracts.stack import TrainingResources

PLACE = re.compile(r"\{\{([a-z_]+)\}\}")


class RenderedPipeline(StrictModel):
    """A pipeline of SageMaker.

    Attributes:
        definition: the document that ``sagemaker:CreatePipeline`` takes, with places to fill.
        schedule: ``rate(…)`` or ``cron(…)`` of EventBridge Scheduler; None for one that only events start.
    """

    definition: dict[str, Any]
    schedule: str | None = Field(default=None, pattern=r"^(rate|cron)\(.+\)$")


class RenderedAlarm(StrictModel):
    """A bound on a metric in the environment's namespace.

    Attributes:
        metric: its name there, the same as Prometheus has.
        statistic: over each period.
        comparison: between the statistic and the threshold when it is an alarm.
        minutes: of a period.
        periods: how many in a row.
        dimensions: of the metric.
        meaning: for whoever is called.
        retrain: whether a new model could help.
    """

    metric: str
    statistic: Literal["Average", "Maximum", "Minimum", "Sum"]
    comparison: Literal["<", "<=", ">", ">="]
    threshold: float
    minutes: int = Field(ge=1)
    periods: int = Field(default=1, ge=1)
    dimensions: dict[str, str] = Field(default_factory=dict)
    meaning: str
    retrain: bool = False


class Rendered(StrictModel):
    """The whole document: pipelines and alarms by name."""

    pipelines: dict[str, RenderedPipeline] = Field(default_factory=dict)
    alarms: dict[str, RenderedAlarm] = Field(default_factory=dict)


def training_places(training: TrainingResources) -> dict[str, Any]:
    """Return the places of training: only spot instances are waited for, and only others can be kept warm."""
    seconds = training.max_hours * 3600
    return {
        "instance": training.instance,
        "spot": training.spot,
        "max_seconds": seconds,
        "max_wait_seconds": 2 * seconds if training.spot else None,
        "keep_alive_seconds": training.warm_minutes * 60 or None,
    }


def filled(document: Any, values: Mapping[str, Any]) -> Any:
    """Return a document with its places filled; a text that is one place alone becomes the value, be it a list.

    Raises:
        UserError: for a place that nothing fills.
    """
    if isinstance(document, dict):
        kept = {key: filled(value, values) for key, value in document.items() if not _absent(value, values)}
        if kept.get("VpcConfig", {}).get("Subnets") == []:  # which SageMaker refuses
            del kept["VpcConfig"]
        if kept.get("NetworkConfig") == {}:
            del kept["NetworkConfig"]
        return kept
    if isinstance(document, list):
        return [filled(value, values) for value in document]
    if not isinstance(document, str):
        return document
    for name in PLACE.findall(document):
        if name not in values:
            raise UserError(f"a rendered pipeline names {{{{{name}}}}}; {nearest(name, values)}")
    if whole := PLACE.fullmatch(document):
        return values[whole[1]]
    return PLACE.sub(lambda place: str(values[place[1]]), document)


def _absent(value: Any, values: Mapping[str, Any]) -> bool:
    place = PLACE.fullmatch(value) if isinstance(value, str) else None
    return place is not None and place[1] in values and values[place[1]] is None
