"""Adoption walked in a repository of somebody's own: what is theirs stays byte for byte, and GitHub finds the workflows."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.template.conftest import files, git

THEIRS = {
    "README.md": "# Fleet\n",
    "pyproject.toml": '[project]\nname = "fleet-app"\nversion = "7"\n',
    "Makefile": "test:\n\ttrue\n",
    "tests/test_app.py": "def test_app():\n    pass\n",
    ".github/workflows/ci.yml": "on: push\njobs:\n  test:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: make test\n",
    ".github/CODEOWNERS": "* @acme/app\n",
}


@pytest.fixture
def theirs(run, repository, tmp_path):
    """Somebody's repository, with the engine in a folder of it."""
    folder = tmp_path / "fleet"
    for name, text in THEIRS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "years of work")
    done = run("cookiecutter", str(repository), "--no-input", "project_slug=mlops", "init_git=no", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def adopt(folder):
    command = ["make", "--no-print-directory", "adopt"]
    return subprocess.run(command, cwd=folder / "mlops", capture_output=True, text=True, check=False)


def test_what_is_theirs_stays_and_the_workflows_are_found(theirs):
    before = {name: theirs.joinpath(name).read_text() for name in THEIRS}
    done = adopt(theirs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert before == {name: theirs.joinpath(name).read_text() for name in THEIRS}
    assert "    /mlops/releases/" in done.stdout
    new = sorted(name for name in files(theirs) if not name.startswith("mlops/") and name not in THEIRS)
    assert new == sorted(f".github/workflows/mlops-{path.name}" for path in (ROOT / ".github/workflows").glob("*.yml"))
    for name in new:
        text = (theirs / name).read_text()
        assert yaml.safe_load(text)["defaults"] == {"run": {"working-directory": "mlops"}}
        for used in re.findall(r"uses: \./(\S+)", text):
            assert (theirs / used).exists() and used.startswith(("mlops/", ".github/workflows/mlops-"))
    (listed,) = re.findall(r'paths: \["(.+)"\]', (theirs / ".github/workflows/mlops-promote.yml").read_text())
    assert listed == "mlops/releases/*.toml"
    delivery = yaml.safe_load((theirs / ".github/workflows/mlops-delivery.yml").read_text())
    assert all(path.startswith("mlops/") for path in delivery[True]["push"]["paths"])
    for action in theirs.glob("mlops/.github/actions/*/action.yml"):
        steps = yaml.safe_load(action.read_text())["runs"]["steps"]
        assert {step["working-directory"] for step in steps if "run" in step} == {"mlops"}


def test_the_linters_find_nothing_in_what_was_adopted(theirs):
    assert adopt(theirs).returncode == 0
    linter = shutil.which("actionlint", path=ROOT / ".tools")
    if linter is None:
        pytest.skip("actionlint is not here; 'make check-workflows' builds it with Go")
    shutil.copy(ROOT / ".github/actionlint.yaml", theirs / ".github")
    done = subprocess.run([linter], cwd=theirs, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_workflow_that_is_there_is_not_overwritten(theirs):
    (theirs / ".github/workflows/mlops-ci.yml").write_text("ours\n")
    before = files(theirs)
    done = adopt(theirs)
    assert (done.returncode == 0, "Nothing was changed: .github/workflows/mlops-ci.yml" in done.stdout) == (False, True)
    assert files(theirs) == before


def test_a_project_of_its_own_repository_has_nothing_to_adopt(bake, repository):
    project = bake(repository, project_slug="alone", init_git="yes")
    done = subprocess.run(
        [sys.executable, ".github/adopt.py"], cwd=project, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "docs/adopt.md" in done.stdout) == (1, True)


def test_a_change_in_the_folder_is_what_its_checks_look_at(theirs):
    git(theirs, "add", "--all")
    git(theirs, "commit", "-qm", "adopted")
    (theirs / "app.py").write_text("1\n")
    (theirs / "mlops/docs/glossary.md").write_text("x\n")
    git(theirs, "add", "--all")
    git(theirs, "commit", "-qm", "a change of theirs and of the docs")
    command = [sys.executable, ".github/changes.py", "HEAD~1"]
    told = subprocess.run(command, cwd=theirs / "mlops", capture_output=True, text=True, check=True).stdout
    assert {"docs=true", "code=false"} <= set(told.splitlines())
