"""Each alarm that an environment can raise on AWS has a heading in the runbook."""

import re

import pytest

from infra.program import ROOT, rendered
from tests.infra.environments import environment

pytestmark = pytest.mark.infra

HEADINGS = set(re.findall(r"^### (\S+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_alarm_is_in_the_runbook(stack):
    alarms = [one for one in environment(stack) if one.type == "aws:cloudwatch/metricAlarm:MetricAlarm"]
    assert len(alarms) > 5
    names = {one.props["name"].partition(f"-{stack}-")[2] for one in alarms}
    assert names <= HEADINGS


def test_every_alarm_of_what_was_rendered_is_in_the_runbook():
    found = rendered(ROOT / "infra/rendered")
    assert len(found.pipelines) > 5
    assert {*found.alarms, *(f"failed-{name.replace('_', '-')}" for name in found.pipelines)} <= HEADINGS
