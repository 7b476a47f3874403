"""Releases: the desired state in ``releases/<environment>.toml``, and the actual one in the release log.

People review the file, which names the models that an environment should serve and how traffic moves to them. The log
records what happened; the serving app follows its latest state.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from pipelines.config.strict import Duration, StrictModel

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class AllAtOnce(StrictModel):
    """The champion takes all traffic at once, unjudged: a first release, or the return to an earlier champion."""

    kind: Literal["all-at-once"] = "all-at-once"


class BlueGreen(StrictModel):
    """The challenger takes all traffic at once; the champion stays loaded and is asked beside it for ``bake``."""

    kind: Literal["blue-green"] = "blue-green"
    bake: Duration


class CanaryStrategy(StrictModel):
    """The challenger takes a growing share of the traffic, each of ``steps`` for ``bake``; then it is promoted."""

    kind: Literal["canary"] = "canary"
    steps: tuple[Fraction, ...] = Field(min_length=1)
    bake: Duration

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps: each must be a larger share than the one before")
        return self


class Shadow(StrictModel):
    """The challenger is asked beside the champion for ``duration`` and never answers; a report compares them then."""

    kind: Literal["shadow"] = "shadow"
    duration: Duration


class AbTest(StrictModel):
    """The challenger takes ``share`` of the traffic until one variant is shown to cost less, or for ``horizon``.

    ``sticky_by`` is the request field whose values stay with one variant; by default the request's key.
    """

    kind: Literal["ab"] = "ab"
    share: Fraction = 0.5
    sticky_by: str | None = None
    horizon: Duration


Strategy = Annotated[AllAtOnce | BlueGreen | CanaryStrategy | Shadow | AbTest, Field(discriminator="kind")]


class Variant(StrictModel):
    """A model as it is served: the digest of its manifest, which vouches for all its files, and its version number."""

    model: Digest
    version: int


class ReleaseFile(StrictModel):
    """``releases/<environment>.toml``.

    ``champion`` answers now, or from now on where there is no ``challenger``. The strategy brings the challenger into
    service. ``feature_views`` (each view's version, and ``request``) and ``request_schema`` (a SHA-256) pin what the
    released model takes; ``image`` pins the container image where containers serve. ``override`` is the reason for
    releasing a model that did not pass its gates.
    """

    champion: Variant
    challenger: Variant | None = None
    feature_views: dict[str, str]
    request_schema: Digest
    image: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    override: str | None = None
    strategy: Strategy

    @model_validator(mode="after")
    def _variants_fit(self) -> Self:
        if isinstance(self.strategy, AllAtOnce) == (self.challenger is not None):
            raise ValueError("a challenger goes with every strategy but all-at-once, which names the new champion")
        if self.challenger and self.challenger.model == self.champion.model:
            raise ValueError("the challenger is the champion")
        return self

    @property
    def released(self) -> Variant:
        """The model that this release brings."""
        return self.challenger or self.champion


class Phase(StrEnum):
    """Where the latest release stands."""

    NONE = "none"
    PROPOSED = "proposed"
    APPROVED = "approved"
    ROLLING = "rolling"
    BAKE = "bake"
    PROMOTED = "promoted"
    CONCLUDED = "concluded"
    ROLLED_BACK = "rolled back"
    WITHDRAWN = "withdrawn"


class Routing(NamedTuple):
    """How requests reach the variants: the challenger answers ``share`` of them, all with the same ``sticky_by``.

    ``mirror``: the variant that does not answer is asked too, after the answer, and only logged.
    """

    share: float = 0.0
    mirror: bool = False
    sticky_by: str | None = None


class ReleaseState(StrictModel):
    """What an environment serves, and where its latest release stands.

    ``proposal`` is the release file as it was proposed; only that is approved and started. ``step`` counts the
    strategy's steps and ``since`` is when this one began. ``quarantined`` maps a model that was rolled back to the
    reason; it stays out until proposed anew.
    """

    phase: Phase = Phase.NONE
    champion: Variant | None = None
    challenger: Variant | None = None
    proposal: ReleaseFile | None = None
    step: int = 0
    since: datetime | None = None
    quarantined: dict[str, str] = Field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether a challenger is in service or beside it, to be judged."""
        return self.phase in (Phase.ROLLING, Phase.BAKE)

    @property
    def strategy(self) -> Strategy:
        """The strategy of the live release."""
        assert self.live and self.proposal, "only a live release has a strategy at work"
        return self.proposal.strategy

    @property
    def routing(self) -> Routing:
        """How the app splits requests."""
        if not self.live:
            return Routing()
        match self.strategy:
            case CanaryStrategy(steps=steps):
                return Routing(share=steps[self.step])
            case BlueGreen():
                return Routing(share=1.0, mirror=True)
            case Shadow():
                return Routing(mirror=True)
            case AbTest(share=share, sticky_by=sticky_by):
                return Routing(share, sticky_by=sticky_by)
        raise AssertionError("all-at-once is never live")


Action = Literal["propose", "approve", "start", "advance", "promote", "conclude", "roll back", "withdraw"]


class ReleaseEntry(StrictModel):
    """One transition in an environment's release log, chained to the one before by the SHA-256 of that one's object.

    ``variant`` is the model that moved: for a rollback the one that was taken out. ``champion_before`` served until
    then, ``state`` says what does now. ``pull`` is the pull request whose review approved the release, where one did.
    ``reason`` is for people alone.
    """

    number: int
    at: datetime
    who: str
    action: Action
    variant: Variant
    champion_before: Variant | None = None
    reason: str
    pull: int | None = None
    state: ReleaseState
    previous_sha256: str | None = None

    @property
    def summary(self) -> str:
        """The transition for people, such as ``v3 to v2: it errs``."""
        champion = self.state.champion
        to = f" to v{champion.version}" if self.action == "roll back" and champion else ""
        return f"v{self.variant.version}{to}" + (f": {self.reason}" if self.reason else "")

    def about(self, model: str) -> bool:
        """Say whether a model moved: came in, went on, was taken out, or returned in the place of another."""
        champion = self.state.champion
        returned = champion is not None and champion != self.champion_before and champion.model == model
        return self.variant.model == model or returned
