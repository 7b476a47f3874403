"""``mlops doctor``: what is left to do in a repository made from the template and in its cloud, and what is wrong."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.config import UserError, load_toml
from pipelines.contracts import Cloud
from pipelines.doctor.findings import Finding, FindingState, note, todo
from pipelines.doctor.maturity import maturity
from pipelines.doctor.repository import examine_repository, project

__all__ = ["Finding", "FindingState", "examine"]


def examine(root: Path, package: str, *, look_at_cloud: bool | None = False) -> list[Finding]:
    """Return the findings of every check.

    Args:
        root: the repository.
        package: states the problem.
        look_at_cloud: whether to ask AWS, which takes seconds; None where a stack of ``infra/bootstrap`` is configured.
    """
    return [*examine_repository(root, package), *_cloud(root, look_at_cloud)]


def _cloud(root: Path, look: bool | None) -> Iterator[Finding]:
    """Check ``cloud.toml``, and AWS itself on request."""
    try:
        stated = load_toml(root / "cloud.toml", Cloud)
    except UserError as error:
        for line in str(error).splitlines():
            yield todo("AWS", line.removeprefix(f"{root}/"))
        return
    if look is None:
        look = any((root / "infra/bootstrap").glob("Pulumi.*.yaml"))
    if not look:
        says = f"nothing is set up: {stated.region}, {stated.monthly_budget:g} USD a month; docs/first-day.md begins"
        yield note("AWS", f"{says}, 'mlops doctor --cloud' looks closer")
        return
    found = list(_aws(root, stated))
    yield from [*found, maturity(root, found)]


def _aws(root: Path, stated: Cloud) -> Iterator[Finding]:
    from pipelines.doctor.tools import tools

    yield from tools()
    try:
        import boto3
    except ImportError:
        yield todo("AWS", "boto3 is not installed; 'uv sync --extra aws' installs it")
        return
    from pipelines.doctor.cloud import examine_cloud

    try:
        name = project(root)["name"]
    except UserError:  # which is a finding of the repository
        return
    yield from examine_cloud(boto3.Session(), root, name, stated)
