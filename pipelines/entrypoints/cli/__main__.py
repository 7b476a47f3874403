"""Starts the command line, and tells people their errors."""

import logging
import sys
from pathlib import Path

from rich.console import Console

from pipelines.entrypoints.cli import (  # noqa: F401  (each adds its commands)
    data,
    github,
    look,
    problem,
    releases,
    report,
    runs,
    serve,
    setup,
    train,
    watch,
    workflow,
)
from pipelines.entrypoints.cli.app import REFUSED, app

ROOT = Path("/opt/ml")
"""Where SageMaker puts what a job takes, and looks for what it leaves."""

_SHOWN = 1024  # characters of a failure


def main() -> None:
    """Run the command line; what a person can put right is told without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("pipelines", "monitoring", "model"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        app()
    except Exception as error:
        report_failure(error)
        raise SystemExit(_tell(error)) from None


def report_failure(error: BaseException, root: Path = ROOT) -> None:
    """Tell SageMaker, where we run on it, why a training or a processing job fails."""
    if root.exists():
        (root / "output").mkdir(exist_ok=True)
        for name in ("failure", "message"):
            (root / "output" / name).write_text(str(error)[:_SHOWN], encoding="utf-8")


def _tell(error: Exception) -> int:
    """Print an error that a person can put right and return its exit code; let any other show its traceback."""
    from pipelines.config import Refused, UserError
    from pipelines.storage.ports import Unavailable

    if not isinstance(error, UserError | Unavailable):
        raise error
    errors = Console(stderr=True, highlight=False)
    errors.print("[red]error:[/]", end=" ")
    errors.print(str(error), markup=False)
    return REFUSED if isinstance(error, Refused) else 1


if __name__ == "__main__":
    main()
