"""A changed setting changes what docs/aws.md says, and nothing else: the engine's preview beside the page's table."""

import pytest

from tests.engine.conftest import PROJECT, ROOT
from tests.engine.engine import steps
from tests.infra.environments import image

pytestmark = pytest.mark.engine
STACK = "staging"
CHANGES = {
    "image": image("b", project=PROJECT),
    "serving.instance": "ml.m5.xlarge",
    "budget_percent": "20",
    "network": "none",
    "retention_days": "90",
}
OPERATIONS = ("replace", "update", "delete")


def table() -> dict[str, dict[str, set[str]]]:
    """Return what the page says of each setting: the types of things, by operation; operations without any are left out."""
    text = (ROOT / "docs/aws.md").read_text().partition("<!-- changes -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]
    return {
        setting: {op: set(cell.split(", ")) for op, cell in zip(OPERATIONS, cells, strict=True) if cell}
        for setting, *cells in rows
    }


def test_the_page_has_a_row_for_each_setting_that_is_previewed():
    assert table().keys() == CHANGES.keys()


@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_changes_what_the_page_says_and_nothing_else(environment, setting):
    engine = environment(STACK)
    engine.pulumi("config", "set", "--path", f"infra:{setting}", CHANGES[setting], "--stack", STACK)
    assert steps(engine.preview(STACK, "--policy-pack", "policies")) == table()[setting]
