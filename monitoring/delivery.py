"""Delivery metrics: the four key metrics of software delivery for models, and the tenure of champions.

Forsgren, Humble, Kim (2018), Accelerate, chapter 2, with a release of a model as the deployment and the signed release
log as the witness. A metric that nothing speaks of yet is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from pipelines.config import ReleaseEntry, StrictModel

_WEEK = timedelta(days=7)


class Deployment(StrictModel):
    """A release that took traffic: from when, since when it takes all of it, and when it was taken out, if so."""

    model: str
    version: int
    started: datetime
    promoted: datetime | None = None
    rolled_back: datetime | None = None


class Delivery(StrictModel):
    """The metrics of a span.

    Attributes:
        start, end: of the span; a deployment belongs to it by its start.
        deployments: how many there were, ``failed`` how many of them were rolled back.
        per_week: deployment frequency.
        lead_time: median from the commit that a model was trained at until it took all traffic. A replay of the past
            promotes before the commit was made, which says nothing and is left out.
        change_failure_rate: the share of the deployments that were rolled back.
        time_to_restore: median from a failed deployment's first traffic to its rollback: the failure is younger.
        stability: the share of the promoted models that were not rolled back later.
        reign: median time that a champion served, the present one's until ``end``.
    """

    start: datetime
    end: datetime
    deployments: int
    failed: int
    per_week: float
    lead_time: timedelta | None
    change_failure_rate: float | None
    time_to_restore: timedelta | None
    stability: float | None
    tenure: timedelta | None


def deployments(entries: Iterable[ReleaseEntry]) -> list[Deployment]:
    """Return every deployment of an environment's release log, oldest first."""
    found: list[Deployment] = []
    for entry in entries:
        state = entry.state
        if entry.action == "start" and state.challenger:
            found.append(Deployment(model=state.challenger.model, version=state.challenger.version, started=entry.at))
        elif entry.action == "promote" and state.champion:
            if not found or found[-1].model != state.champion.model or found[-1].promoted:
                found.append(Deployment(model=state.champion.model, version=state.champion.version, started=entry.at))
            found[-1] = found[-1].model_copy(update={"promoted": entry.at})
        elif entry.action == "roll back":
            _close(found, entry.variant.model, entry.at)
    return found


def _close(found: list[Deployment], model: str, at: datetime) -> None:
    for place in range(len(found) - 1, -1, -1):
        if found[place].model == model:
            found[place] = found[place].model_copy(update={"rolled_back": at})
            return


def tenures(entries: Sequence[ReleaseEntry], end: datetime) -> list[timedelta]:
    """Return how long each champion served, one after the other, the last one until ``end``."""
    crowned: list[tuple[str, datetime]] = []
    for entry in entries:
        champion = entry.state.champion
        if champion and (not crowned or crowned[-1][0] != champion.model):
            crowned.append((champion.model, entry.at))
    times = [at for _, at in crowned] + [end]
    return [until - since for since, until in pairwise(times)]


def delivery(
    entries: Sequence[ReleaseEntry], committed: Mapping[str, datetime], start: datetime, end: datetime
) -> Delivery:
    """Return the delivery metrics of ``[start, end)``.

    ``entries`` are the whole release log of an environment, oldest first; ``committed`` is when the commit was made
    that a model was trained at, by the model's digest, where that is known.
    """
    made = [one for one in deployments(entries) if start <= one.started < end]
    failed = [one for one in made if one.rolled_back]
    promoted = [one for one in made if one.promoted]
    leads = [one.promoted - committed[one.model] for one in promoted if one.promoted and one.model in committed]
    leads = [lead for lead in leads if lead >= timedelta()]
    return Delivery(
        start=start,
        end=end,
        deployments=len(made),
        failed=len(failed),
        per_week=len(made) / max((end - start) / _WEEK, 1 / 7),
        lead_time=_median(leads),
        change_failure_rate=len(failed) / len(made) if made else None,
        time_to_restore=_median([one.rolled_back - one.started for one in failed if one.rolled_back]),
        stability=sum(not one.rolled_back for one in promoted) / len(promoted) if promoted else None,
        tenure=_median(tenures([one for one in entries if one.at < end], end)),
    )


def told(metrics: Delivery) -> dict[str, str]:
    """Return the metrics in words for people, by name."""
    return {
        "deployments": f"{metrics.deployments}, {metrics.failed} of them rolled back",
        "deployment frequency": f"{metrics.per_week:.2g} a week",
        "lead time, from commit to champion": _span(metrics.lead_time),
        "change failure rate": _share(metrics.change_failure_rate),
        "time to restore": _span(metrics.time_to_restore),
        "model stability: promoted, not rolled back": _share(metrics.stability),
        "model stability: a champion's reign": _span(metrics.tenure),
    }


def _median(spans: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _span(value: timedelta | None) -> str:
    if value is None:
        return "unknown"
    seconds = value.total_seconds()
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
