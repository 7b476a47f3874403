"""The changelog that release.yml takes its notes from: the version has a section, and sections are in order."""

import re
import tomllib

from tests.conftest import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text()
SECTIONS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)


def test_what_is_unreleased_comes_before_the_versions():
    assert SECTIONS[0] == "Unreleased"
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d{2}-\d{2})", section) for section in SECTIONS[1:]]
    assert all(found)
    versions = [tuple(map(int, one.groups()[:3])) for one in found]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)


def test_the_version_of_the_project_is_the_latest_section():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SECTIONS[1].startswith(f"{version} - ")


def test_changes_are_of_the_kinds_of_keep_a_changelog():
    kinds = set(re.findall(r"^### (.+)$", TEXT, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
