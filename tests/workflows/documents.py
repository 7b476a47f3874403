"""The workflows and actions of the repository, as YAML and as text."""

import re
from typing import Any, NamedTuple

import yaml

from tests.docs.named import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
DOCUMENTS = {path.relative_to(GITHUB).as_posix(): yaml.safe_load(path.read_text()) for path in WORKFLOWS + ACTIONS}
USES = re.compile(r"(?<!\w)uses: ([^\s@]+)@?(\S*)(?: +# (\S+))?")


class Job(NamedTuple):
    """A job of a workflow."""

    workflow: str
    name: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.workflow} {self.name}"

    @property
    def permissions(self) -> set[str]:
        return {f"{scope}: {level}" for scope, level in self.document.get("permissions", {}).items()}

    @property
    def actions(self) -> set[str]:
        return {step["uses"].partition("@")[0] for step in self.steps if "uses" in step}

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.document.get("steps", [])


def triggers(path):
    """Return what starts a workflow; YAML 1.1 reads its key ``on`` as true."""
    return yaml.safe_load(path.read_text())[True]


def by_stem(stem):
    """Return the file of a workflow."""
    return GITHUB / f"workflows/{stem}.yml"


def runs_on_schedule(job):
    """Return whether a schedule may start a job: no condition of its own or of what it needs excludes that."""
    needs = job.document.get("needs", [])
    before = [
        one
        for one in JOBS
        if one.workflow == job.workflow and one.name in ([needs] if isinstance(needs, str) else needs)
    ]
    condition = str(job.document.get("if", ""))
    if re.match(r"github\.event_name != 'schedule'$", condition):
        return False
    whatever = "cancelled()" in condition and ".result == 'success'" not in condition
    return whatever or all(runs_on_schedule(one) for one in before)


JOBS = [
    Job(path.stem, name, job) for path in WORKFLOWS for name, job in DOCUMENTS[f"workflows/{path.name}"]["jobs"].items()
]
STEPS = [(str(job), step) for job in JOBS for step in job.steps] + [
    (name, step) for name, document in DOCUMENTS.items() for step in document.get("runs", {}).get("steps", ())
]


def table(text, heading):
    """Return the rows of the table under a heading of a page, each as its cells."""
    part = text[text.index(f"\n## {heading}\n") :].split("\n## ")[1]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
