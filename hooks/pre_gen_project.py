"""Refuses answers that would break what is made from them: says each one, and what is allowed."""

import json
import re
import sys

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
    "aws_region": (r"[a-z]{2}(-[a-z]+)+-[0-9]", "the code of an AWS region, such as eu-central-1 or us-east-1"),
    "monthly_budget": (r"(?=.*[1-9])[0-9]{1,7}(\.[0-9]{1,2})?", "an amount of USD above 0, such as 200 or 99.50"),
}


def wrong(answers: "dict[str, str]") -> "list[str]":
    """Return a line for each answer that is not allowed."""
    return [
        f"{name}: {answers[name]!r} will not do; write {told}"
        for name, (form, told) in ALLOWED.items()
        if not (re.fullmatch(form, answers[name]) and answers[name].isprintable())
    ]


if __name__ == "__main__" and (lines := wrong(ANSWERS)):
    sys.exit("\n".join(["", *lines, "Nothing was made. Start again; an answer can be given as NAME=VALUE.", ""]))
