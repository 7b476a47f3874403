"""Refuses answers that would break the project, and a folder that already holds somebody's files."""

import json
import re
import sys
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
HANDLE = r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}"
# Each answer: the form it must match as a whole, and what to tell people who wrote another.
ALLOWED = {
    "project_slug": (
        r"(?=.{2,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*",
        "2 to 40 lower-case letters, digits and single dashes, from a letter on, such as fleet-prices",
    ),
    "description": (r"(?=.*\S).{1,200}", "one line of 1 to 200 characters"),
    "author_name": (r"(?=.*\S).{1,100}", "one line of 1 to 100 characters"),
    "email": (r"[^@\s\"<>\\]+@[^@\s\"<>\\]+\.[^@\s\"<>\\]+", "an e-mail address, such as ml-team@acme.com"),
    "github_owner": (HANDLE, "the name of a GitHub organisation or user, without @, such as acme"),
    "approvers": (
        f"@{HANDLE}(/[A-Za-z0-9_-]+)?( +@{HANDLE}(/[A-Za-z0-9_-]+)?)*",
        "GitHub handles or teams, each with its @, between spaces, such as @ada @acme/business-owners",
    ),
    "aws_region": (
        r"(?!us-gov-|cn-|us-iso)[a-z]{2}(-[a-z]+)+-[0-9]",
        (
            "the code of a region of AWS's standard partition, such as eu-central-1 or us-east-1; "
            "GovCloud and China have other ARNs and endpoints, which the stacks do not write"
        ),
    ),
    "monthly_budget": (r"(?=.*[1-9])[0-9]{1,7}(\.[0-9]{1,2})?", "an amount of USD above 0, such as 200 or 99.50"),
}


def wrong(answers: "dict[str, str]") -> "list[str]":
    """Return a line for each answer that is not allowed."""
    return [
        f"{name}: {answers[name]!r} will not do; write {told}"
        for name, (form, told) in ALLOWED.items()
        if not (re.fullmatch(form, answers[name]) and answers[name].isprintable())
    ]


def occupied(folder: Path) -> "list[str]":
    """Return what lies in the folder already, a new clone's ``.git`` aside: ``cookiecutter -f`` would overwrite it."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".git")


if __name__ == "__main__":
    if lines := wrong(ANSWERS):
        sys.exit("\n".join(["", *lines, "Nothing was made. Start again; an answer can be given as NAME=VALUE.", ""]))
    if names := occupied(Path.cwd()):
        shown = ", ".join(names[:5]) + (" and more" if len(names) > 5 else "")
        sys.exit(
            f"\n{Path.cwd()} is not empty: it holds {shown}. Nothing was changed.\n"
            "Choose another project_slug or folder; docs/adopt.md says how to bring the engine into a "
            "repository that exists.\n"
        )
