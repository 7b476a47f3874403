"""The maturity of the project's operations, on the levels 0 to 2 of Google's guide, and what the next level needs.

0 is manual, 1 trains automatically, 2 delivers automatically: "MLOps: Continuous delivery and automation pipelines in
machine learning", https://cloud.google.com/architecture/mlops-continuous-delivery-and-automation-pipelines-in-machine-learning
"""

from collections.abc import Iterable
from pathlib import Path

from pipelines.doctor.findings import Finding, FindingState, note

LEVELS = ("manual", "automated training", "automated delivery")
WORKFLOWS = {1: ("continuous-training.yml", "monitor.yml"), 2: ("ci.yml", "delivery.yml", "promote.yml")}


def maturity(root: Path, findings: Iterable[Finding]) -> Finding:
    """Return the level that the project has reached, and what the next one lacks.

    Args:
        root: the repository.
        findings: of the other checks; those of the cloud count where it was checked.
    """
    found = list(findings)
    for level in (1, 2):
        if missing := [*_workflows(root, level), *(_cloud(found) if level == 1 else _releases(root))]:
            says = f"level {level - 1} of 2 ({LEVELS[level - 1]}); level {level} ({LEVELS[level]}) misses: "
            return note("maturity", says + "; ".join(missing))
    return note("maturity", f"level 2 of 2 ({LEVELS[2]})")


def _workflows(root: Path, level: int) -> list[str]:
    folder = root / ".github/workflows"
    return [f".github/workflows/{name}" for name in WORKFLOWS[level] if not (folder / name).exists()]


def _cloud(findings: list[Finding]) -> list[str]:
    """Return what an environment still lacks to train automatically."""
    done = {finding.check for finding in findings if finding.state is FindingState.OK}
    missing = {"bootstrap": "a bootstrapped account", "stack": "an environment that is provisioned"}
    return [what for check, what in missing.items() if check not in done]


def _releases(root: Path) -> list[str]:
    """Return what is missing to show that releases reach a second environment."""
    count = len(list((root / "releases").glob("*.toml")))
    return [] if count > 1 else [f"releases in two environments or more, by reviewed files ({count} now)"]
