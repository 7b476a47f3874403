"""History: what was delivered, and the end of each release of an environment."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from monitoring.delivery import Delivery, delivery, deployments
from pipelines.config import Phase, ReleaseEntry, StrictModel
from pipelines.registry.model_store import ModelStore
from pipelines.registry.provenance import committed
from pipelines.registry.release_log import ReleaseLog


class ReleaseSummary(StrictModel):
    """One release from its proposal on: ``phase`` is where it stands, quarantined and superseded among that."""

    number: int
    version: int
    strategy: str
    phase: str
    proposed: datetime
    by: str
    ended: datetime | None
    reason: str


def delivered(log: ReleaseLog, models: ModelStore, root: Path, start: datetime, end: datetime) -> Delivery:
    """Return the delivery metrics of an environment; commits are looked up in the checkout at ``root``."""
    entries = list(log.entries())
    times = {
        model: committed(root, models.manifest(model).code.commit)
        for model in {one.model for one in deployments(entries)}
    }
    return delivery(entries, {model: at for model, at in times.items() if at}, start, end)


def releases(log: ReleaseLog) -> list[ReleaseSummary]:
    """Return every release of an environment, oldest first, and where each stands now."""
    found: list[ReleaseSummary] = []
    models: list[str] = []
    quarantined: Mapping[str, str] = {}
    for entry in log.entries():
        if entry.action == "propose":
            _mark(found, (Phase.PROPOSED, Phase.APPROVED), _SUPERSEDED)
            found.append(_proposed(entry))
            models.append(entry.variant.model)
        elif entry.action == "roll back":
            _move(found, _latest(models, entry.variant.model), entry)
            assert entry.state.champion, "a rollback leaves a champion"
            back = _latest(models, entry.state.champion.model)
            found[back] = found[back].model_copy(update={"phase": Phase.PROMOTED.value})
        else:
            if entry.action == "promote":
                _mark(found, (Phase.PROMOTED,), _SUPERSEDED)
            _move(found, len(found) - 1, entry)
        quarantined = entry.state.quarantined
    for model in quarantined:
        place = _latest(models, model)
        found[place] = found[place].model_copy(update={"phase": _QUARANTINED})
    return found


_SUPERSEDED, _QUARANTINED = "superseded", "quarantined"


def _proposed(entry: ReleaseEntry) -> ReleaseSummary:
    assert entry.state.proposal, "a proposal is in its own state"
    return ReleaseSummary(
        number=entry.number,
        version=entry.variant.version,
        strategy=entry.state.proposal.strategy.kind,
        phase=entry.state.phase.value,
        proposed=entry.at,
        by=entry.who,
        ended=None,
        reason=entry.reason,
    )


def _latest(models: list[str], model: str) -> int:
    return len(models) - 1 - models[::-1].index(model)


def _move(found: list[ReleaseSummary], place: int, entry: ReleaseEntry) -> None:
    over = entry.action in ("promote", "conclude", "roll back", "withdraw")
    change = {"phase": entry.state.phase.value, "reason": entry.reason, "ended": entry.at if over else None}
    found[place] = found[place].model_copy(update=change)


def _mark(found: list[ReleaseSummary], phases: tuple[Phase, ...], phase: str) -> None:
    for place, one in enumerate(found):
        if one.phase in phases:
            found[place] = one.model_copy(update={"phase": phase})
