"""Says which parts of the repository differ from BASE, so that ci.yml runs what they concern: ``make changes``.

Prints lines for GITHUB_OUTPUT. Where the difference is not known, as with a branch's first push, everything differs.
Runs on any Python, before anything is installed.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

LOCKED = r"pyproject\.toml|uv\.lock|Makefile|\.github/workflows\.mk"
ENGINE = r"(model|monitoring|pipelines)/.*"
DOCS = r"docs/.*|.*\.md|LICENSE|\.github/(CODEOWNERS|ISSUE_TEMPLATE/.*|PULL_REQUEST_TEMPLATE/.*)"
PARTS = {
    "docs": DOCS,
    "code": rf"(?!(?:{DOCS}|releases/.*)$).*",
    "training": rf"{ENGINE}|{LOCKED}",
    "image": rf"Dockerfile|\.dockerignore|{ENGINE}|{LOCKED}",
    "infra": rf"infra/.*|pipelines/config/.*|cloud\.toml|{LOCKED}",
}
"""What each part's files match, as a whole."""
EVERYTHING = re.compile(r"\.github/(workflows/ci\.yml|actions/.*|changes\.py)")
"""What changes how all of it is checked."""
RELEASE = re.compile(r"releases/([a-z][a-z0-9-]*)\.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
OWN = "model/tests tests/docs tests/contract tests/e2e/test_demo.py"
"""The tests for a change of what is the team's: its own, and of the engine the stores and the whole loop, in small."""
BAKES = ["defaults", "other", "foreign"]
"""The projects that are made and checked for each change of the template: tests/template/test_whole.py."""


def differing(base: str) -> list[str] | None:
    """Return the files that differ between HEAD and where it left ``base``; None when git does not know."""
    command = [
        "git",
        "diff",
        "--name-only",
        "--relative",
        "--no-renames",
        "-z",
        "--end-of-options",
        f"{base}...HEAD",
        "--",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\0")[:-1] if done.returncode == 0 else None


def parts(files: Iterable[str] | None) -> dict[str, bool]:
    """Return which parts the files belong to."""
    if files is None or any(EVERYTHING.fullmatch(file) for file in files):
        return dict.fromkeys(PARTS, True)
    return {name: any(re.fullmatch(pattern, file) for file in files) for name, pattern in PARTS.items()}


def concerns_the_engine(files: Iterable[str] | None) -> bool:
    """Return whether all tests are to run: for a change of the engine, in the template, or where FULL_TESTS asks."""
    if files is None or Path("cookiecutter.json").exists() or os.environ.get("FULL_TESTS") == "true":
        return True
    yours = tuple(tomllib.loads(Path("ownership.toml").read_text(encoding="utf-8"))["yours"])
    return any(re.fullmatch(PARTS["code"], file) and not file.startswith(yours) for file in files)


def named(environments: Iterable[str]) -> str:
    """Return environments as a matrix; the suffix is that of the plan role's variable."""
    return json.dumps([{"environment": name, "suffix": name.upper()} for name in environments])


def main(base: str) -> None:
    """Print what differs."""
    files = differing(base)
    for name, differs in parts(files).items():
        print(f"{name}={str(differs).lower()}")  # noqa: T201
    whole = concerns_the_engine(files)
    print(f"suite={'' if whole else OWN}")  # noqa: T201
    print(f"pythons={json.dumps(PYTHONS if whole else PYTHONS[:1])}")  # noqa: T201
    print(f"bakes={json.dumps(BAKES if Path('cookiecutter.json').exists() and files != [] else [])}")  # noqa: T201
    there = files if files is not None else [str(path) for path in Path("releases").glob("*.toml")]
    released = {found[1] for file in there if (found := RELEASE.fullmatch(file)) and Path(file).exists()}
    print(f"releases={named(sorted(released))}")  # noqa: T201
    stated = tomllib.loads(Path("cloud.toml").read_text(encoding="utf-8"))
    print(f"environments={named(stated['environments'])}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
