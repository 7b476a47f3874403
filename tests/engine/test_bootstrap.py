"""What an administrator sets up once, on the real engine, with the settings of docs/first-day.md."""

import re

import pytest

from tests.engine.build import ROOT
from tests.engine.engine import Engine, counted

pytestmark = pytest.mark.engine
TOKEN = "ghp_" + "t" * 36
HERE = "infra/bootstrap"


def settings() -> str:
    """Return what the page has in the file of settings."""
    found = re.search(r"```yaml\n(.+?)```", (ROOT / "docs/first-day.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def bootstrapped(engine: Engine) -> Engine:
    """Make the stack of the page's account, and return the engine."""
    (engine.checkout / HERE / "Pulumi.main.yaml").write_text(settings())
    engine = Engine(engine.bin, engine.folder, engine.checkout, {**engine.environ, "GITHUB_TOKEN": TOKEN})
    engine.pulumi("stack", "init", "main", within=HERE)
    return engine


def test_an_account_comes_as_the_page_says_and_then_stays(engine):
    engine = bootstrapped(engine)
    wanted = counted(engine.preview("main", within=HERE))["create"]
    made = re.search(r"\+ (\d+) created", engine.up("main", within=HERE))
    page = (engine.checkout / "docs/first-day.md").read_text()
    assert made and f"({made[1]} resources for two environments)" in page
    assert wanted == len(engine.things("main", within=HERE))
    engine.up("main", "--expect-no-changes", within=HERE)
    assert engine.pulumi("stack", "output", "state", "--stack", "main", within=HERE).startswith("s3://")
    assert not [file for file in engine.folder.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_an_account_is_refused_its_destruction_before_anything_goes(engine):
    engine = bootstrapped(engine)
    engine.up("main", within=HERE)
    before, there = engine.things("main", within=HERE), engine.remains()
    told = engine.pulumi("destroy", "--yes", "--skip-preview", "--stack", "main", within=HERE, code=1)
    assert "because it is protected" in told
    assert (engine.things("main", within=HERE), engine.remains()) == (before, there)
