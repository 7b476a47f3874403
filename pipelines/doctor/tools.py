"""Checks of the programs that work on AWS needs."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.doctor.findings import Finding, ok, todo


class Tool(NamedTuple):
    """A program.

    Attributes:
        name: of the command.
        ask: arguments that print its version.
        least: the oldest version that works.
        since: why no older one does.
        fix: where to get it.
    """

    name: str
    ask: tuple[str, ...]
    least: tuple[int, ...]
    since: str
    fix: str


TOOLS = (
    Tool(
        "pulumi",
        ("version",),
        (3, 230),
        "a look for drift takes no lock since then",
        "https://www.pulumi.com/docs/install",
    ),
    Tool(
        "aws",
        ("--version",),
        (2, 22),
        "it signs in without a browser on the same machine since then",
        "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
    ),
    Tool("git", ("--version",), (2, 28), "a first branch is called main since then", "https://git-scm.com/downloads"),
)


def tools(wanted: tuple[Tool, ...] = TOOLS) -> Iterator[Finding]:
    """Check that each program is installed and new enough."""
    for tool in wanted:
        found = version(tool)
        least = ".".join(map(str, tool.least))
        if found is None:
            yield todo(tool.name, f"is not installed or does not run; {tool.fix}")
        elif found < tool.least:
            running = ".".join(map(str, found))
            yield todo(tool.name, f"{running} runs; {least} or newer is needed: {tool.since}; {tool.fix}")
        else:
            yield ok(tool.name, ".".join(map(str, found)))


def version(tool: Tool) -> tuple[int, ...] | None:
    """Return the version that a program prints, or None without one."""
    if not (path := shutil.which(tool.name)):
        return None
    try:
        told = subprocess.run([path, *tool.ask], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told.stdout)
    return tuple(map(int, found.groups())) if found and not told.returncode else None
