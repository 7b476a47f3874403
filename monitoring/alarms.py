"""Alarms: measurements of a model in service that are outside the bounds of ``problem.toml``."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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

    Without a ``model`` nothing is released yet. ``quality`` is of the labelled predictions; ``coverage`` the share
    labelled of those old enough to have a label, None while there is none; ``drift`` the population stability index of
    each feature, ``prediction_drift`` that of the predictions; ``missing`` the share of a feature's values that are
    missing, ``missing_rise`` by how much that is more than in training; ``unseen_rise`` by how much more of them are
    categories that training seldom or never had. ``sources`` says which feature view each feature comes from, or
    ``request``. ``clock_skew`` is by how many seconds the clients' clocks are ahead of the server's, the median over
    requests. ``silent`` says that the champion was in service for the whole window and nobody asked it; ``unreadable``
    why files of the prediction log are left out of all of this, by key.
    """

    as_of: datetime
    model: str | None = None
    version: int | None = None
    start: datetime | None = None
    predictions: int = 0
    labels: int = 0
    coverage: float | None = None
    clock_skew: float | None = None
    quality: dict[str, float] = Field(default_factory=dict)
    drift: dict[str, float] = Field(default_factory=dict)
    prediction_drift: float | None = None
    missing: dict[str, float] = Field(default_factory=dict)
    missing_rise: dict[str, float] = Field(default_factory=dict)
    unseen_rise: dict[str, float] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)
    silent: bool = False
    unreadable: dict[str, str] = Field(default_factory=dict)


def alarms(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    """Return the alarms that the measurements raise; too few labels or predictions raise none about them.

    While data is broken no other alarm asks for a new model, which would learn from it.
    """
    data = [*_unreadable(measured), *_broken_data(config, measured), *_silence(measured)]
    found = [*data, *_performance(config, measured), *_drift(config, measured), *_coverage(config, measured)]
    if any(map(is_broken, found)):
        return [one.model_copy(update={"retrain": False}) for one in found]
    return found


def is_broken(alarm: Alarm) -> bool:
    """Say whether an alarm is about data from which no model should learn."""
    return alarm.name.partition(".")[0] in {"data", "silence"}


def _unreadable(measured: Measurements) -> list[Alarm]:
    if not measured.unreadable:
        return []
    (key, why), count = next(iter(measured.unreadable.items())), len(measured.unreadable)
    reason = f"{count} files of the prediction log cannot be read and are left out, the first because {why}: {key}"
    return [Alarm(name="data.log", reason=reason, value=float(count), retrain=False)]


def _broken_data(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    """Return the alarms about features that a source broke, rather than the world changed."""
    limit = config.monitoring
    if measured.predictions < limit.min_predictions:
        return []
    found = []
    missing = _above(measured.missing_rise, limit.missing_rise)
    if missing:
        shown = _by_source(missing, measured, lambda name: f"{name} {measured.missing[name]:.0%}")
        reason = f"missing more often than in training: {shown}; did their source stop, or their features get stale?"
        found.append(Alarm(name="data.missing", reason=reason, value=max(missing.values()), retrain=False))
    unseen = _above(measured.unseen_rise, limit.unseen_rise)
    if unseen:
        shown = _by_source(unseen, measured, lambda name: f"{name} {unseen[name]:.0%}")
        reason = f"values that training did not have: {shown}; are they spelt as before?"
        found.append(Alarm(name="data.unseen", reason=reason, value=max(unseen.values()), retrain=False))
    for source in _moved_alone(config, measured):
        moved = [name for name in _drifted(config, measured) if measured.sources[name] == source]
        shown = ", ".join(moved)
        reason = f"all features of {source} moved and no others did ({shown}); did its source change, as in units?"
        found.append(Alarm(name="data.source", reason=reason, value=float(len(moved)), retrain=False))
    return found


def _silence(measured: Measurements) -> list[Alarm]:
    if not measured.silent:
        return []
    reason = "the champion was in service and nothing was predicted; does traffic reach the app, and its log the store?"
    return [Alarm(name="silence", reason=reason, value=0.0, retrain=False)]


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
    if measured.predictions < limit.min_predictions or _moved_alone(config, measured):
        return []
    drifted = _drifted(config, measured)
    share = len(drifted) / max(1, len(measured.drift))
    if share <= limit.drifted_share:
        return []
    reason = f"{len(drifted)} of {len(measured.drift)} features drifted (PSI above {limit.psi:g}): {', '.join(drifted)}"
    return [Alarm(name="drift", reason=reason, value=share, retrain=True)]


def _drifted(config: ProblemConfig, measured: Measurements) -> list[str]:
    """Return the features that moved, without those that are missing or have unseen values."""
    limit = config.monitoring
    broken = {*_above(measured.missing_rise, limit.missing_rise), *_above(measured.unseen_rise, limit.unseen_rise)}
    return [name for name, index in measured.drift.items() if index > limit.psi and name not in broken]


def _moved_alone(config: ProblemConfig, measured: Measurements) -> list[str]:
    """Return the source of which every feature moved, two at least, while none of another did, if there is one."""
    moved = Counter(measured.sources.get(name) for name in _drifted(config, measured))
    of_source = Counter(measured.sources.values())
    if len(moved) != 1 or len(of_source) < 2:
        return []
    ((source, count),) = moved.items()
    return [source] if source and count == of_source[source] > 1 else []


def _above(values: Mapping[str, float], limit: float) -> dict[str, float]:
    return {name: value for name, value in values.items() if value > limit}


def _by_source(names: Iterable[str], measured: Measurements, told: Callable[[str], str]) -> str:
    """Return what is told of features, by the source that they come from."""
    of_source: dict[str, list[str]] = {}
    for name in names:
        of_source.setdefault(measured.sources.get(name, "request"), []).append(told(name))
    return "; ".join(f"{source}: {', '.join(shown)}" for source, shown in of_source.items())


def _coverage(config: ProblemConfig, measured: Measurements) -> list[Alarm]:
    least = config.monitoring.min_label_coverage
    if measured.coverage is None or measured.coverage >= least:
        return []
    reason = f"only {measured.coverage:.1%} of the labels that are due have come, less than {least:.0%}"
    return [Alarm(name="label_coverage", reason=reason, value=measured.coverage, retrain=False)]
