"""Says whether the jobs that a run needed succeeded, or were skipped as not concerned: ``make required-checks``.

Reads the ``needs`` of a job as JSON from NEEDS. A failed or cancelled job fails the check.
"""

import json
import os

PASSING = {"success", "skipped"}


def main() -> int:
    """Print each job's result; the exit code says whether all pass, and the changes were looked at at all."""
    results = {name: job["result"] for name, job in json.loads(os.environ["NEEDS"]).items()}
    for name, result in results.items():
        print(f"{result:>10}  {name}")  # noqa: T201
    return 0 if set(results.values()) <= PASSING and results["changes"] == "success" else 1


if __name__ == "__main__":
    raise SystemExit(main())
