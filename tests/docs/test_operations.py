"""The pages for people who operate: what they show is valid, and each alarm has its heading."""

import json
import re

import yaml

from infra.bootstrap.settings import BootstrapSettings
from monitoring.alarms import Measurements, alarms
from pipelines.config import Problem
from tests.conftest import NOW, PROBLEMS
from tests.docs.named import ROOT

FIRST_DAY, RUNBOOK = ((ROOT / f"docs/{name}.md").read_text() for name in ("first-day", "runbook"))
HEADINGS = set(re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE))


def test_the_settings_of_the_first_day_are_valid():
    (block,) = re.findall(r"```yaml\n(config:.*?)```", FIRST_DAY, re.DOTALL)
    given = yaml.safe_load(block)["config"]
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    settings = BootstrapSettings.parse(texts, "docs/first-day.md")
    assert settings.environments == ("dev", "prod")
    assert settings.is_first


def test_every_setting_that_the_first_day_names_exists():
    table = FIRST_DAY[FIRST_DAY.index("| Setting | when |") : FIRST_DAY.index("## 3. Bootstrap")]
    named = re.findall(r"^\| `(\w+):", table, re.MULTILINE)
    assert len(named) == 5
    assert set(named) <= set(BootstrapSettings.model_fields)


def test_every_alarm_of_the_model_has_a_heading():
    config = Problem.load(PROBLEMS[0]).config
    bad = dict.fromkeys(config.monitoring.performance, float("inf"))
    measured = Measurements(
        as_of=NOW, model="m", version=1, predictions=10**6, labels=10**6, coverage=0.0, quality=bad, drift={"a": 9.0}
    )
    raised = {alarm.name.partition(".")[0] for alarm in alarms(config, measured)}
    assert raised == {"performance", "drift", "label_coverage"}
    assert raised <= HEADINGS


def test_each_heading_is_there_once_and_says_what_to_look_at():
    parts = re.split(r"^### .+$", RUNBOOK, flags=re.MULTILINE)[1:]
    assert len(re.findall(r"^### ", RUNBOOK, re.MULTILINE)) == len(HEADINGS)
    assert [part[:60] for part in parts if "- Look" not in part] == []


def test_a_link_within_the_runbook_leads_to_a_heading():
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= HEADINGS
