"""release.yml publishes a version that main holds, whose number and notes agree: the real script on real commits."""

import os
import subprocess
import sys

import pytest

from tests.workflows.documents import GITHUB
from tests.workflows.github import NAME
from tests.workflows.test_changes import git

CHANGELOG = """\
# Changelog

## Unreleased

## 1.2.0 - 2026-11-27

### Added

- A thing.

## 1.1.0 - 2026-11-01

- An older thing.
"""


@pytest.fixture
def repository(tmp_path):
    """A clone whose main is at version 1.2.0."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    (origin / "pyproject.toml").write_text('[project]\nname = "parcels"\nversion = "1.2.0"\n')
    (origin / "CHANGELOG.md").write_text(CHANGELOG)
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    return clone


def release(command, tag, repository, url=""):
    environ = {**os.environ, "GITHUB_API_URL": url, "GITHUB_REPOSITORY": NAME, "GITHUB_TOKEN": "t"}
    called = [sys.executable, GITHUB / "release.py", command, tag]
    return subprocess.run(called, cwd=repository, env=environ, check=False, capture_output=True, text=True)


def test_the_notes_are_the_section_of_the_version(repository):
    done = release("check", "v1.2.0", repository)
    assert (done.returncode, done.stdout) == (0, "### Added\n\n- A thing.\n")


@pytest.mark.parametrize("tag", ["v1.1.0", "v1.2", "1.2.0", "v1.2.0-rc1"])
def test_a_tag_of_another_version_is_refused(repository, tag):
    done = release("check", tag, repository)
    assert done.returncode == 1
    assert f"The tag is {tag!r} and pyproject.toml has version 1.2.0" in done.stderr


@pytest.mark.parametrize("heading", ["## 1.2.1 - 2026-11-27", "## 1x2.0 - 2026-11-27", "## 1.2.0"])
def test_a_version_without_notes_is_refused(repository, heading):
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace("## 1.2.0 - 2026-11-27", heading))
    done = release("check", "v1.2.0", repository)
    assert done.returncode == 1
    assert "CHANGELOG.md has no notes under '## 1.2.0 - YYYY-MM-DD'" in done.stderr


def test_a_commit_that_main_lacks_is_refused(repository):
    git(repository, "commit", "-qm", "aside", "--allow-empty")
    done = release("check", "v1.2.0", repository)
    assert done.returncode == 1
    assert "main does not have the commit of v1.2.0" in done.stderr


def test_a_release_is_created_once(repository, fake):
    first, second = (release("publish", "v1.2.0", repository, fake.url) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout == f"https://github.com/{NAME}/releases/tag/v1.2.0\n"
    (made,) = [call.body for call in fake.calls if call.method == "POST"]
    assert made == {"tag_name": "v1.2.0", "name": "v1.2.0", "body": "### Added\n\n- A thing."}


def test_a_refusal_by_github_is_an_error_without_a_traceback(repository, fake):
    done = release("publish", "v1.2.0", repository, f"{fake.url}/elsewhere")
    assert done.returncode == 1
    assert done.stderr.startswith("GitHub refuses POST /releases: 404")
