"""Starts the command line, and tells people their errors."""

import logging
import sys

from rich.console import Console

from pipelines.cli import problem, releases, show, sweep, use, work  # noqa: F401  (each adds its commands)
from pipelines.cli.app import REFUSED, app


def main() -> None:
    """Run the command line; what a person can put right is told without a traceback."""
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
    errors = Console(stderr=True, highlight=False)
    errors.print("[red]error:[/]", end=" ")
    errors.print(str(error), markup=False)
    return REFUSED if isinstance(error, Refused) else 1


if __name__ == "__main__":
    main()
