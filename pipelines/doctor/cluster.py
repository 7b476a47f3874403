"""Checks of the local environment: kubectl, the cluster, the emulator, and the stack on them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.config import UserError
from pipelines.doctor.findings import Finding, ok, todo
from pipelines.doctor.tools import Tool, tools
from pipelines.storage.ports import Unavailable

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

KUBECTL = Tool(
    "kubectl",
    ("version", "--client"),
    (1, 33, 0),
    "older ones are no longer maintained",
    "https://kubernetes.io/docs/tasks/tools",
)


def examine_cluster(platform: "Platform") -> Iterator[Finding]:
    """Check the tools, then each thing that a run in the cluster needs, until one is missing."""
    yield from tools((KUBECTL,))
    check = "packages"
    try:
        profile = platform.profile
        from pipelines.adapters.kubernetes.profile import KubernetesProfile

        assert isinstance(profile, KubernetesProfile), "the profile is what the settings say"
        check = "emulator"
        yield ok(check, f"{profile.stack.endpoint_url} has the stores of {profile.stack.environment}")
        check = "cluster"
        offered = ", ".join(sorted(profile.executions.templates()))
        yield ok(check, f"namespace {profile.executions.namespace} runs {offered}")
    except (UserError, Unavailable) as error:
        yield todo(check, str(error))
