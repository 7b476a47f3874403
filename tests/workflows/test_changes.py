"""ci.yml runs what a change concerns: ``make changes`` on real commits, and ``make required-checks`` on results."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.workflows.documents import GITHUB, ROOT

FILES = ["docs/a.md", "model/x.py", "releases/dev.toml", "infra/x.py", "tests/x.py"]
EVERYTHING = {"docs", "code", "training", "image", "infra"}


def git(folder, *arguments):
    named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A repository with a commit on main."""
    git(tmp_path, "init", "-q", "-b", "main")
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first\n")
    for name in ("cloud.toml", "ownership.toml"):
        shutil.copy(ROOT / name, tmp_path)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "branch", "base")
    return tmp_path


def changed(repository, *names, base="base"):
    """Commit a change of each file, and return what the command says of it."""
    for name in names:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("second\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "second", "--allow-empty")
    return said(repository, base)


def said(repository, base):
    command = [sys.executable, GITHUB / "changes.py", base]
    done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    told = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return {name: text if name == "suite" else json.loads(text) for name, text in told.items()}


def parts(found):
    return {name for name, differs in found.items() if differs is True}


@pytest.mark.parametrize(
    ("names", "concerned"),
    [
        (["docs/a.md"], {"docs"}),
        (["README.md", "CHANGELOG.md"], {"docs"}),
        ([".github/CODEOWNERS", ".github/ISSUE_TEMPLATE/bug.yml"], {"docs"}),
        (["releases/dev.toml"], set()),
        (["tests/x.py"], {"code"}),
        (["model/x.py"], {"code", "training", "image"}),
        (["infra/x.py"], {"code", "infra"}),
        (["pipelines/config/x.py"], EVERYTHING - {"docs"}),
        (["Dockerfile"], {"code", "image"}),
        (["uv.lock"], EVERYTHING - {"docs"}),
        ([".github/workflows/infra.yml"], {"code"}),
        ([".github/workflows/ci.yml"], EVERYTHING),
        ([".github/actions/setup/action.yml"], EVERYTHING),
        (["docs/a.md", "tests/x.py"], {"docs", "code"}),
        (["new folder/ü x.md"], {"docs"}),
        ([], set()),
    ],
)
def test_what_a_change_concerns(repository, names, concerned):
    assert parts(changed(repository, *names)) == concerned


@pytest.mark.parametrize("base", ["0" * 40, "no-such-branch", "--output=x"])
def test_without_a_base_everything_is_concerned(repository, base):
    assert parts(changed(repository, "docs/a.md", base=base)) == EVERYTHING


def test_what_main_did_meanwhile_does_not_concern_a_branch(repository):
    git(repository, "checkout", "-qb", "mine")
    changed(repository, "docs/a.md")
    git(repository, "checkout", "-q", "base")
    changed(repository, "model/x.py")
    git(repository, "checkout", "-q", "mine")
    assert parts(said(repository, "base")) == {"docs"}


def test_a_moved_file_concerns_both_places(repository):
    (repository / "docs/a.md").rename(repository / "model/a.txt")
    assert parts(changed(repository)) == {"docs", "code", "training", "image"}


def test_changed_release_files_are_named_and_deleted_ones_are_not(repository):
    prod = [{"environment": "prod", "suffix": "PROD"}]
    assert changed(repository, "releases/prod.toml")["releases"] == prod
    (repository / "releases/dev.toml").unlink()
    assert changed(repository)["releases"] == prod


def test_a_file_that_only_looks_like_a_release_is_none(repository):
    assert changed(repository, "releases/$(id).toml", "releases/DEV.toml", "docs/releases/dev.toml")["releases"] == []


def test_the_environments_are_those_of_cloud_toml(repository):
    assert [one["environment"] for one in changed(repository)["environments"]] == ["dev", "prod"]


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["model/x.py", "docs/a.md", "releases/dev.toml"], False),
        (["infra/Pulumi.dev.yaml", ".github/CODEOWNERS"], False),
        (["model/x.py", "pipelines/x.py"], True),
        (["uv.lock"], True),
        (["tests/x.py"], True),
    ],
)
def test_a_change_of_the_engine_runs_all_tests_and_the_teams_its_own(repository, names, whole):
    found = changed(repository, *names)
    assert (found["suite"] == "", len(found["pythons"])) == ((True, 3) if whole else (False, 1))
    assert whole or all((ROOT / path).exists() for path in found["suite"].split())


def test_all_tests_run_in_the_template_and_where_the_team_asks(repository, monkeypatch):
    monkeypatch.setenv("FULL_TESTS", "true")
    assert changed(repository, "model/x.py")["suite"] == ""
    monkeypatch.delenv("FULL_TESTS")
    assert changed(repository, "model/y.py")["suite"] != ""
    assert changed(repository, "cookiecutter.json")["suite"] == ""


def test_projects_are_made_for_changes_of_the_template_alone(repository):
    assert changed(repository, "pipelines/x.py")["bakes"] == []
    assert changed(repository, "cookiecutter.json")["bakes"] == ["defaults", "other", "foreign"]


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ({"changes": "success", "test": "success"}, 0),
        ({"changes": "success", "test": "skipped"}, 0),
        ({"changes": "success", "test": "failure"}, 1),
        ({"changes": "success", "test": "cancelled"}, 1),
        ({"changes": "skipped", "test": "skipped"}, 1),
        ({"changes": "failure", "test": "skipped"}, 1),
    ],
)
def test_the_required_check_passes_skipped_jobs_and_no_failed_one(results, code):
    needs = json.dumps({name: {"result": result, "outputs": {}} for name, result in results.items()})
    done = subprocess.run([sys.executable, GITHUB / "required.py"], env={**os.environ, "NEEDS": needs}, check=False)
    assert done.returncode == code
