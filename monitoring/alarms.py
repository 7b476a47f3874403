"""Alarms: measurements of a model in service that are outside the bounds of ``problem.toml``."""

from datetime import datetime

from pydantic import Field

from pipelines.config import ProblemConfig, StrictModel


class Alarm(StrictModel):
    """A measurement outside its bound; ``retrain`` says whether a new model could help."""

    name: str
    reason: str
    value: float
    retrain: bool


class Measurements(StrictModel):
    """What was measured about one model over the window of answers ``[start, as_of)``.

    ``quality`` is of the labelled predictions; ``coverage`` the share labelled of those old enough to have a label,
    None while there is none; ``drift`` the population stability index of each feature; ``clock_skew`` by how many
    seconds the clients' clocks are ahead of the server's, the median over requests.
    """

    as_of: datetime
    model: str
    version: int
    start: datetime | None = None
    predictions: int = 0
    labels: int = 0
    coverage: float | None = None
    clock_skew: float | None = None
    quality: dict[str, float] = Field(default_factory=dict)
    drift: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, float] = Field(default_factory=dict)


def alarms(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    """Return the alarms that the measurements raise; too few labels raise none about quality."""
    return [*_performance(config, measured), *_drift(config, measured), *_coverage(config, measured)]


def _performance(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    if measured.labels < config.monitoring.min_labels:
        return []
    found = []
    for name, bound in config.monitoring.performance.items():
        value = measured.quality[name]
        low, high = bound.min is not None and value < bound.min, bound.max is not None and value > bound.max
        if low or high:
            limit = f"below {bound.min:g}" if low else f"above {bound.max:g}"
            reason = f"{name} {value:+.3f} is {limit} over {measured.labels:,} labels"
            found.append(Alarm(name=f"performance.{name}", reason=reason, value=value, retrain=True))
    return found


def _drift(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    limit = config.monitoring
    if measured.predictions < limit.min_predictions:
        return []
    drifted = [name for name, index in measured.drift.items() if index > limit.psi]
    share = len(drifted) / max(1, len(measured.drift))
    if share <= limit.drifted_share:
        return []
    reason = f"{len(drifted)} of {len(measured.drift)} features drifted (PSI above {limit.psi:g}): {', '.join(drifted)}"
    return [Alarm(name="drift", reason=reason, value=share, retrain=True)]


def _coverage(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    least = config.monitoring.min_label_coverage
    if measured.coverage is None or measured.coverage >= least:
        return []
    reason = f"only {measured.coverage:.1%} of the labels that are due have come, less than {least:.0%}"
    return [Alarm(name="label_coverage", reason=reason, value=measured.coverage, retrain=False)]
