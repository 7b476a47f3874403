"""Deployment: from an approved release file to what an environment serves, and back.

``pull → test → roll_out`` starts a release, ``canary_analysis`` decides how a canary ends, and ``transitions`` alone
change the release log.
"""

from pydantic import AwareDatetime

from pipelines.config import ReleaseFile, StrictModel


class DeploymentParams(StrictModel):
    """The approved release file, the time of the deployment, and who starts it."""

    release: ReleaseFile
    as_of: AwareDatetime
    who: str


class Tested(StrictModel):
    """A model that was pulled, verified and warmed up, and whose features are materialised."""

    model: str
    version: int


class RolledOut(StrictModel):
    """Where the release stands after the deployment."""

    transition: int
    phase: str
