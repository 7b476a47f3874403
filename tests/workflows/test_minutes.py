"""What the schedules cost in GitHub's minutes a month, computed from the YAML, and what the docs say of it."""

import math
import re

import pytest

from tests.workflows.documents import DOCUMENTS, JOBS, ROOT, WORKFLOWS, runs_on_schedule, table, triggers

PAGE = (ROOT / "docs/workflows.md").read_text()
DAYS = 365.25 / 12
FREE = 2000
"""Minutes a month of a private repository on GitHub's plan Free, less than any other has:
https://docs.github.com/en/billing/concepts/product-billing/github-actions."""
MOST = 500
MINUTES = {"infra drift": 5}
"""Of a job that looks and finds nothing, where it is not 2: a checkout, the packages from the cache, a command of seconds.
GitHub bills from one up, for each job. Assumed: no workflow has run there."""
SCHEDULED = [path.stem for path in WORKFLOWS if "schedule" in triggers(path)]


def times(cron):
    """Return how often a month an expression starts, of lists, steps and days of the week alone."""
    minute, hour, day, month, weekday = cron.split()
    assert (day, month) == ("*", "*")

    def count(field, most):
        if field == "*":
            return most
        if step := re.fullmatch(r"\*/(\d+)", field):
            return math.ceil(most / int(step[1]))
        return len(field.split(","))

    return count(minute, 60) * count(hour, 24) * DAYS * count(weekday, 7) / 7


def idle(job):
    """Return whether a job runs on schedule although there is nothing to do."""
    condition = str(job.document.get("if", ""))
    return runs_on_schedule(job) and not re.search(r"needs\.\w+\.outputs", condition)


def monthly(workflow, document):
    """Return the runs a month that a schedule starts, and their minutes, where there is nothing to do."""
    runs = sum(times(one["cron"]) for one in document[True]["schedule"])
    jobs = [job for job in JOBS if job.workflow == workflow and idle(job)]
    assert all("strategy" not in job.document for job in jobs), "one job for all environments"
    return runs, runs * sum(MINUTES.get(str(job), 2) for job in jobs)


COST = {name: monthly(name, DOCUMENTS[f"workflows/{name}.yml"]) for name in SCHEDULED}


def test_the_schedules_cost_at_most_a_quarter_of_the_free_minutes():
    assert sum(minutes for _, minutes in COST.values()) <= MOST
    assert MOST <= FREE / 4


def test_the_docs_list_what_each_schedule_costs():
    rows = {row[0].strip("`"): row for row in table(PAGE, "What the schedules cost")}
    total = sum(minutes for _, minutes in COST.values())
    assert {name: row[2:4] for name, row in rows.items()} == {
        **{f"{name}.yml": [f"{runs:.0f}", f"{minutes:.0f}"] for name, (runs, minutes) in COST.items()},
        "together": ["", f"{total:.0f}"],
    }
    for name in SCHEDULED:
        (schedule,) = DOCUMENTS[f"workflows/{name}.yml"][True]["schedule"]
        assert rows[f"{name}.yml"][1] == f"`{schedule['cron']}`"


@pytest.mark.parametrize(
    ("cron", "a_day"), [("7 8,20 * * *", 2), ("*/10 * * * *", 144), ("0 * * * *", 24), ("17 2 * * 1", 1 / 7)]
)
def test_an_expression_is_counted(cron, a_day):
    assert times(cron) == pytest.approx(a_day * DAYS)


def test_a_schedule_each_quarter_of_an_hour_would_be_found():
    document = {**DOCUMENTS["workflows/continuous-training.yml"], True: {"schedule": [{"cron": "*/15 * * * *"}]}}
    assert monthly("continuous-training", document)[1] > MOST
