"""Says what is left to do in a repository made from the template and in its cloud, and what is wrong."""

from pathlib import Path

from pipelines.doctor.findings import Finding, State
from pipelines.doctor.repository import examine_repository

__all__ = ["Finding", "State", "examine"]


def examine(root: Path, package: str) -> list[Finding]:
    """Return what every check finds, for the repository at ``root`` and the problem that ``package`` states."""
    return examine_repository(root, package)
