"""The application, its global options, and how errors meet the user."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

REFUSED = 3

app = typer.Typer(
    name="mlops",
    help="Train, judge, release, serve and watch models: every step of the loop, one command each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="The moment to act at, in UTC. Default: now."),
]


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Folder of the embedded profile. [env: RATCHET_HOME]")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Environment to act on. [env: RATCHET_ENVIRONMENT]")
    ] = None,
) -> None:
    """Make the platform that the command will use."""
    from pipelines.bootstrap import Platform
    from pipelines.settings import Settings

    given = {"home": home, "environment": environment}
    settings = Settings.read().model_copy(update={name: value for name, value in given.items() if value})
    context.obj = Platform(settings)


def main() -> None:
    """Run the command line; what a person can put right is told without a traceback."""
    from pipelines.cli import releases, show, work  # noqa: F401  (each adds its commands)

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("pipelines", "monitoring", "model"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        app()
    except Exception as error:
        raise SystemExit(_tell(error)) from None


def _tell(error: Exception) -> int:
    """Print an error that a person can put right and return its exit code; let any other show its traceback."""
    from pipelines.spec import Refused, UserError

    if not isinstance(error, UserError):
        raise error
    errors.print("[red]error:[/]", end=" ")
    errors.print(str(error), markup=False)
    return REFUSED if isinstance(error, Refused) else 1


def moment(as_of: datetime | None) -> datetime:
    """Return the moment a command acts at."""
    return as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)


def print_json(content: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(content, indent=2, default=str))
