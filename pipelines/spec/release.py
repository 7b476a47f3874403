"""Releases: the wish in ``releases/<environment>.toml``, and the fact that the release log holds.

The file names the model that an environment should serve and how traffic gets there; people review it. The log
records what happened; the serving app follows its latest state.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.strict import Duration, Strict

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AllAtOnce(Strict):
    """The model takes all traffic at once."""

    kind: Literal["all-at-once"] = "all-at-once"


class CanaryStrategy(Strict):
    """The model takes ``share`` of the traffic for ``bake``; then it is promoted or rolled back."""

    kind: Literal["canary"] = "canary"
    share: Annotated[float, Field(gt=0, lt=1)]
    bake: Duration


Strategy = Annotated[AllAtOnce | CanaryStrategy, Field(discriminator="kind")]


class ReleaseFile(Strict):
    """``releases/<environment>.toml``.

    ``model`` is the digest of the manifest, which vouches for the ONNX file, the feature-view versions and the
    request schema. ``override`` is the reason for releasing a model that did not pass its gates.
    """

    model: Digest
    version: int
    strategy: Strategy
    override: str | None = None


class Variant(Strict):
    """A model as it is served: its digest and its human version number."""

    model: Digest
    version: int


class Phase(StrEnum):
    """Where the latest release stands."""

    NONE = "none"
    PROPOSED = "proposed"
    APPROVED = "approved"
    ROLLING = "rolling"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class ReleaseState(Strict):
    """What an environment serves, and where its latest release stands.

    ``proposal`` is the release file as it was proposed; only that is approved and started. ``previous`` is the
    champion before this one. ``quarantined`` maps a model that was rolled back to the reason; it stays out until
    proposed anew.
    """

    phase: Phase = Phase.NONE
    champion: Variant | None = None
    challenger: Variant | None = None
    previous: Variant | None = None
    share: float = 0.0
    bake: Duration | None = None
    rolling_since: datetime | None = None
    proposal: ReleaseFile | None = None
    quarantined: dict[str, str] = Field(default_factory=dict)


class ReleaseEntry(Strict):
    """One transition in an environment's release log, chained to the one before by its SHA-256."""

    number: int
    at: datetime
    who: str
    action: Literal["propose", "approve", "start", "promote", "roll back"]
    reason: str
    state: ReleaseState
    previous_sha256: str | None
