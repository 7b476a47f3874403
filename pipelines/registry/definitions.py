"""Which feature definitions are in use: today's, and those of every model that serves or may have to serve again.

All of them are materialised side by side, so that a model in service, its challenger and whatever a rollback brings
back keep fresh features when ``model/`` changes. What nobody uses any more is retired.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from pipelines.config import FeatureView, Phase, Problem, ProblemConfig, UserError, Variant
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog

log = logging.getLogger(__name__)

TODAY = "model/"


class InUse(NamedTuple):
    """A version of a feature view, and who uses it: ``model/``, or a model and why it may serve."""

    view: FeatureView
    by: tuple[str, ...]


def pinned(releases: ReleaseLog, keep: timedelta, as_of: datetime) -> Mapping[Variant, str]:
    """Return the models whose features must stay fresh, each with why.

    Those that serve; one that is proposed; and of the earlier champions that are not quarantined the latest, which a
    rollback brings back, and each that served in the last ``keep`` before ``as_of``.
    """
    until: dict[Variant, datetime] = {}
    champion: Variant | None = None
    for entry in releases.entries():
        if champion and entry.state.champion != champion:
            until.pop(champion, None)
            until[champion] = entry.at
        champion = entry.state.champion
    state = releases.state()
    found: dict[Variant, str] = {}
    if state.champion:
        found[state.champion] = "champion"
    if state.challenger:
        found[state.challenger] = "challenger"
    if state.proposal and state.phase in (Phase.PROPOSED, Phase.APPROVED):
        found.setdefault(state.proposal.released, state.phase.value)
    earlier = [variant for variant in until if variant != champion and variant.model not in state.quarantined]
    for variant in earlier:
        if variant == earlier[-1] or as_of - until[variant] <= keep:
            found.setdefault(variant, f"champion until {until[variant]:%Y-%m-%d}")
    return found


def names_pinned(
    config: ProblemConfig, models: ModelStore, releases: ReleaseLog, as_of: datetime
) -> Mapping[str, tuple[str, ...]]:
    """Return which models pin each version of a feature view and why, by the name under which it is stored."""
    found: dict[str, tuple[str, ...]] = {}
    for variant, why in pinned(releases, config.features.retire_after, as_of).items():
        for name, version in models.manifest(variant.model).feature_versions.views.items():
            stored = f"{name}_{version}"
            found[stored] = (*found.get(stored, ()), f"v{variant.version} {why}")
    return found


def names_in_use(
    problem: Problem, models: ModelStore, releases: ReleaseLog, as_of: datetime
) -> Mapping[str, tuple[str, ...]]:
    """Return who uses each version of a feature view, ``model/`` among them; what models carry is not loaded."""
    by_models = names_pinned(problem.config, models, releases, as_of)
    today = {view.versioned_name: (TODAY, *by_models.get(view.versioned_name, ())) for view in problem.views}
    return {**by_models, **today}


def in_use(problem: Problem, models: ModelStore, releases: ReleaseLog, as_of: datetime) -> Mapping[str, InUse]:
    """Return each version of a feature view that is in use, by the name under which it is stored.

    A model whose definitions do not load here is told in the log of this process, and left out.
    """
    views = {view.versioned_name: view for view in problem.views}
    for variant in pinned(releases, problem.config.features.retire_after, as_of):
        try:
            own = trained(problem, models, models.manifest(variant.model))
        except UserError as error:
            log.error("features not loaded model=v%d reason=%s", variant.version, error)
        else:
            views |= {view.versioned_name: view for view in own.views if view.versioned_name not in views}
    names = names_in_use(problem, models, releases, as_of)
    return {name: InUse(view, names[name]) for name, view in views.items()}
