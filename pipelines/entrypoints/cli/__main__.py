"""Starts the command line, and tells people their errors."""

import logging
import sys
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile

from rich.markup import escape

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
from pipelines.entrypoints.cli.app import app
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import errors, say

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
    except KeyboardInterrupt:
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except Exception as error:
        told = _told(error)
        report_failure(told)
        raise SystemExit(_tell(told)) from None


def _told(error: Exception) -> Exception:
    from pipelines.orchestration.boundary import data_error

    return data_error(error, "the command")


def report_failure(error: BaseException, root: Path = ROOT) -> None:
    """Tell SageMaker, where we run on it, why a training or a processing job fails."""
    if root.exists():
        (root / "output").mkdir(exist_ok=True)
        for name in ("failure", "message"):
            (root / "output" / name).write_text(str(error)[:_SHOWN], encoding="utf-8")


def _tell(error: Exception) -> ExitCode:
    """Print an error and return its exit code; the traceback of a fault goes to a file where a person is watching."""
    from pipelines.config import Refused, UserError, WrongUsage
    from pipelines.storage.ports import Unavailable

    if isinstance(error, UserError | Unavailable):
        say(f"[red]error:[/] {escape(str(error))}", errors)
    elif errors.is_terminal:
        with NamedTemporaryFile("w", prefix="mlops-", suffix=".log", encoding="utf-8", delete=False) as file:
            traceback.print_exception(error, file=file)
        told = escape(f"{type(error).__name__}: {error}".splitlines()[0])
        say(f"[red]error:[/] {told}; this is a fault of the program, traced in {file.name}", errors)
    else:
        raise error
    if isinstance(error, WrongUsage):
        return ExitCode.USAGE
    return ExitCode.NO if isinstance(error, Refused) else ExitCode.ERROR


if __name__ == "__main__":
    main()
