"""The target of releases: an environment's release log, models and serving, and the facts for the rule book."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple, Protocol

from pipelines.config import (
    Manifest,
    Problem,
    Refused,
    ReleaseEntry,
    ReleaseFile,
    ReleaseState,
    UserError,
    Variant,
    format_duration,
)
from pipelines.deployment.release_rules import Before, Facts, FileTransition, refusals
from pipelines.registry.carried import trained
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.serving.instances import InstanceReport
from pipelines.serving.model import servable
from pipelines.storage.ports import OnlineStore


class Servable(Protocol):
    """Knows what the serving code of an environment can serve."""

    def unservable(self, variant: Variant) -> str:
        """Return why the running code cannot serve a model; empty when it can."""

    def stale(self, manifest: Manifest, at: datetime) -> Iterator[str]:
        """Yield, for each of a model's feature views that has no valid rows at a time, why."""


class RunningCode(NamedTuple):
    """What the code of this process can serve; it loads a model exactly as the serving app does."""

    problem: Problem
    models: ModelStore
    online: OnlineStore

    def unservable(self, variant: Variant) -> str:
        """As :class:`Servable`: the model is loaded with its own features, verified and warmed up."""
        return "; ".join(servable(self.models, variant, self.problem))

    def stale(self, manifest: Manifest, at: datetime) -> Iterator[str]:
        """As :class:`Servable`: a view is not materialised, or its rows are older than its time to live."""
        for view in trained(self.problem, self.models, manifest).views:
            until = self.online.as_of(view.versioned_name)
            if until is None:
                yield f"feature view {view.name!r} is not materialised; run 'mlops run feature' first"
            elif at - until > view.ttl:
                yield (
                    f"feature view {view.name!r} was materialised up to {until:%Y-%m-%d %H:%M} and stays valid for "
                    f"{format_duration(view.ttl)}, so not until {at:%Y-%m-%d %H:%M}; "
                    "run 'mlops run feature' for the latest days, or choose an earlier --as-of"
                )


class Unservable(Refused):
    """A model that a transition would put into service cannot be served."""


class ReleaseTarget(NamedTuple):
    """An environment that models are released to.

    ``before`` opens the release log of the previous environment, if there is one; ``instances`` reads the reports of
    the instances of the serving app; ``ask`` asks these which models they cannot serve
    (:meth:`pipelines.deployment.inquiry.Inquiry.unservable`).
    """

    releases: ReleaseLog
    models: ModelStore
    serving: Servable
    before: Callable[[], ReleaseLog | None] = lambda: None
    instances: Callable[[], Sequence[InstanceReport]] = tuple
    ask: Callable[[Iterable[Variant]], Mapping[str, str]] = lambda _: {}

    def facts(self, release: ReleaseFile, state: ReleaseState, at: datetime, ask: bool = True) -> Facts:
        """Return the facts on which the rules decide, in a state of the log and at a time.

        Without ``ask``, what can be served is what the running code can serve.
        """
        released, log = release.released, self.before()
        unservable = cache(lambda: self.unservable(released, state.champion))
        manifest: Manifest | str
        try:
            manifest = self.models.manifest(released.model)
        except UserError as error:
            manifest = str(error)
        return Facts(
            state=state,
            champions=tuple(self.releases.tenures()),
            manifest=manifest,
            registered=self.models.version(released.version),
            before=Before(log.environment, tuple(log.tenures()), log.state().quarantined) if log else None,
            unservable=(lambda variant: unservable().get(variant.model, "")) if ask else self.serving.unservable,
            stale=lambda manifest: self.serving.stale(manifest, at),
        )

    def refusals(self, transition: FileTransition, release: ReleaseFile, at: datetime) -> list[str]:
        """Return each reason to refuse a transition of a release file now; a mere check asks no instance."""
        facts = self.facts(release, self.releases.state(), at, ask=transition != "check")
        return list(refusals(transition, release, facts))

    def unservable(self, *variants: Variant | None) -> Mapping[str, str]:
        """Return by digest why models cannot be served by the running code, or else by a live instance.

        Asks the instances once for all models.
        """
        given = [variant for variant in variants if variant]
        own = {variant.model: why for variant in given if (why := self.serving.unservable(variant))}
        return {**self.ask(variant for variant in given if variant.model not in own), **own}

    def latest(self) -> ReleaseEntry | None:
        """Return the latest transition.

        Raises:
            UserError: when an instance served a later one: the end of the log is missing.
        """
        seen = max(self.instances(), key=lambda one: one.standing.transition, default=None)
        entry = self.releases.latest()
        last, environment = entry.number if entry else 0, self.releases.environment
        if seen and seen.standing.transition > last:
            raise UserError(
                f"the release log of {environment!r} ends at transition {last}, and instance {seen.instance} saw "
                f"{seen.standing.transition}: its end was cut off; restore what followed {last} in the object store"
            )
        return entry

    def check_servable(self, variant: Variant) -> None:
        """Raise Unservable when a model that a transition would put into service cannot be served."""
        if why := self.unservable(variant).get(variant.model):
            code = self.models.manifest(variant.model).code.label
            raise Unservable(
                f"v{variant.version} cannot be served: {why}; bring back the code that serves it first, such as the "
                f"commit that trained it: {code}"
            )


def check(reasons: list[str]) -> None:
    """Raise Refused when there are reasons."""
    if reasons:
        raise Refused("\n".join(reasons))
