"""Runs command lines one after another in one process: most of what a short command takes is the start of a process.

Reads a JSON list of their arguments and prints a JSON list of the exit code of each and what it said on standard error.
"""

import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

from pipelines.entrypoints.cli.__main__ import main


def ended(arguments: list[str]) -> tuple[int, str]:
    """Return the exit code of ``mlops ARGUMENTS``, and what it said."""
    said, code = io.StringIO(), 0
    sys.argv = ["mlops", *arguments]
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        except Exception:  # what Python would print
            code = 1
            traceback.print_exc()
    return code, said.getvalue()


if __name__ == "__main__":
    json.dump([ended(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
