"""A new project passes its own audit for secrets, which still finds one."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tests.template.conftest import git

GITLEAKS = shutil.which("gitleaks", path=ROOT / ".tools")
KEY = "AKIA" + "Z7QW3E5R6T2Y4U7I"  # in two parts, so that this file holds none


@pytest.fixture
def project(bake, repository):
    if GITLEAKS is None:
        pytest.skip("gitleaks is missing; 'make check-workflows' builds it where Go is")
    return bake(repository, project_slug="fleet", init_git="yes")


def audit(project):
    command = [GITLEAKS, "git", "--no-banner", "--redact", "--exit-code", "1", "."]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_new_project_has_no_secrets(project):
    done = audit(project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [("model/keys.py", f'aws_access_key_id = "{KEY}"\n'), (".gitleaks.toml", "[extend]\nuseDefault = true\n")],
    ids=["a secret", "no allow-list"],
)
def test_what_the_audit_is_for_is_found(project, name, text):
    (project / name).write_text(text)
    git(project, "add", "--all")
    if name == ".gitleaks.toml":  # the digests of the first commit are what it allows
        assert "leaks found" in audit(project).stderr
        return
    git(project, "commit", "-qm", "a key")
    assert "leaks found: 1" in audit(project).stderr
