"""The application, its global options, and what its commands share."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform

REFUSED = 3

app = typer.Typer(
    name="mlops",
    help="Train, judge, release, serve and watch models: every step of the loop, one command each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(highlight=False)


class Where(StrEnum):
    """Where a run computes: in this process, on SageMaker, or as a Job of a cluster."""

    HERE = "here"
    AWS = "aws"
    KUBERNETES = "kubernetes"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
On = Annotated[Where, typer.Option(help="Where: elsewhere it is started, and the command returns at once.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="The moment to act at, in UTC. Default: now, or RATCHET_AS_OF."
    ),
]


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Folder of the embedded profile. Default: RATCHET_HOME.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Environment to act on. Default: RATCHET_ENVIRONMENT.")
    ] = None,
    releases: Annotated[
        Path | None, typer.Option(help="Folder of the release files. Default: releases, in --home when that is given.")
    ] = None,
) -> None:
    """Make the platform that the command will use."""
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings

    if home and not releases:  # another home is another system, whose commands must not change this one's files
        releases = home / "releases"
    given = {"home": home, "environment": environment, "releases": releases}
    context.obj = Platform(Settings.read().changed({name: value for name, value in given.items() if value}))


def moment(platform: "Platform", as_of: datetime | None) -> datetime:
    """Return the moment a command acts at."""
    return as_of.replace(tzinfo=UTC) if as_of else platform.settings.now()


def print_json(content: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(content, indent=2, default=str))
