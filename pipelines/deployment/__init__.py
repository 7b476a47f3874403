"""Deployment: from an approved release file to what an environment serves, and back.

pull → test → roll_out starts a release; ``judge`` decides how a canary ends; ``transitions`` are the only moves.
"""

from pydantic import AwareDatetime

from pipelines.config import ReleaseFile, Strict


class DeploymentParams(Strict):
    """The approved release file, the time of the deployment, and who starts it."""

    release: ReleaseFile
    as_of: AwareDatetime
    who: str


class Tested(Strict):
    """A model that was pulled, verified, warmed up, and whose features are there."""

    model: str
    version: int


class RolledOut(Strict):
    """Where the release stands after the deployment."""

    transition: int
    phase: str
