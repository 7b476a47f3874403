"""Estimates the cost of an environment from the program's resources, list prices, and a stated amount of use."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.aws.components.release_tick import MEMORY_MB
from infra.aws.config import Config, Serverless
from infra.resource import Resource

HOURS = 730  # of a month
MINUTES, DAYS = HOURS * 60, HOURS / 24


@dataclass(frozen=True)
class Assumed:
    """The use that a figure is for.

    Attributes:
        tick_seconds: that the release tick takes while nothing is released.
        data_gb: in the store and the lake.
        training_hours: of the job of a training run that trains.
        job_minutes: of any other job of a pipeline, most of which it takes to start, and AWS counts them.
        request_seconds: that a serverless endpoint takes for a request.
        features: rows of the online store that a prediction reads, of up to 4 KB.
        requests_per_second: of an instance of an endpoint; the tests of the serving app reach more on two cores.
    """

    tick_seconds: float = 2.0
    data_gb: float = 10.0
    training_hours: float = 0.5
    job_minutes: float = 4.0
    request_seconds: float = 0.05
    features: int = 3
    requests_per_second: float = 100.0


def prices() -> dict[str, Any]:
    """Return the list prices."""
    return tomllib.loads((Path(__file__).parent / "prices.toml").read_text(encoding="utf-8"))


def idle(resources: Sequence[Resource], config: Config, assumed: Assumed | None = None) -> dict[str, float]:
    """Return USD a month by item, without requests and trainings."""
    assumed, price = assumed or Assumed(), prices()
    month, hour, use = price["month"], price["hour"], price["use"]

    def count(token: str) -> int:
        return sum(one.type.endswith(f":{token}") for one in resources)

    doors = [one for one in resources if one.props.get("vpcEndpointType") == "Interface"]
    zones = sum(len(one.props["subnetIds"]) for one in doors)
    ticks = count("Function") * MINUTES
    tick = use["million_lambda_requests"] / 1e6 + MEMORY_MB / 1024 * assumed.tick_seconds * use["gb_second_lambda"]
    backed_up = bool(config.backup_days) * assumed.data_gb * use["gb_month_backup"]
    return {
        "keys": count("Key") * month["key"],
        "alarms and dashboard": count("MetricAlarm") * month["alarm"] + count("Dashboard") * month["dashboard"],
        "release tick": ticks * (tick + use["million_schedules"] / 1e6),
        "jobs by the clock": _scheduled_jobs(resources) * assumed.job_minutes / 60 * hour[config.training.instance],
        "endpoint": _instances(resources, hour) * HOURS,
        "interface endpoints": zones * hour["interface_endpoint"] * HOURS,
        f"{assumed.data_gb:g} GB of data": assumed.data_gb * use["gb_month_s3"] + backed_up,
        "stop action of the budget": count("BudgetAction") * month["budget_action_day"] * 30,
    }


def training_run(resources: Sequence[Resource], config: Config, assumed: Assumed | None = None) -> float:
    """Return USD for a training run without a network: each step is a job on one instance, one of them maybe spot."""
    assumed, price = assumed or Assumed(), prices()
    share = price["use"]["spot_share"] if config.training.spot else 1.0
    hourly: float = price["hour"][config.training.instance]
    (jobs,) = [_jobs(one) for one in resources if one.type.endswith(":Pipeline") and one.name == "training"]
    return hourly * (share * assumed.training_hours + (jobs - 1) * assumed.job_minutes / 60)


def million_predictions(config: Config, assumed: Assumed | None = None) -> float:
    """Return USD for a million predictions, one a request, beyond what the idle endpoint costs.

    On instances that is what reading features costs and the share of an instance's time that they take.
    """
    assumed, price = assumed or Assumed(), prices()
    use = price["use"]
    features: float = assumed.features * use["million_dynamo_reads"]
    if isinstance(config.serving, Serverless):
        seconds = 1e6 * assumed.request_seconds * config.serving.memory_mb / 1024
        return features + seconds * float(use["gb_second_serverless"])
    return features + 1e6 / assumed.requests_per_second / 3600 * float(price["hour"][config.serving.instance])


def _jobs(pipeline: Resource) -> int:
    """Return the number of jobs of one run of a pipeline."""
    return len(json.loads(pipeline.props["pipelineDefinition"])["Steps"])


def _scheduled_jobs(resources: Sequence[Resource]) -> float:
    """Return the number of jobs in a month that pipelines start by the clock."""
    jobs = {one.props["pipelineName"]: _jobs(one) for one in resources if one.type.endswith(":Pipeline")}
    return sum(
        jobs[one.props["name"]] * DAYS / (7 if "SUN" in one.props["scheduleExpression"] else 1)
        for one in resources
        if one.type.endswith(":Schedule") and one.props["name"] in jobs
    )


def _instances(resources: Sequence[Resource], hour: dict[str, float]) -> float:
    """Return USD an hour for the instances of endpoints."""
    variants = [
        variant
        for one in resources
        if one.type.endswith(":EndpointConfiguration")
        for variant in one.props["productionVariants"]
        if "instanceType" in variant
    ]
    total: float = sum(hour[one["instanceType"]] * one["initialInstanceCount"] for one in variants)
    return total
