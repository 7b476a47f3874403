"""cruft makes a project from a git URL and brings later changes of the template; what is the team's it leaves alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import DEFAULTS, OTHER, files, git
from tests.template.test_bake import NO_LINKS


@pytest.fixture
def template(repository, tmp_path):
    """A template of its own, to be changed."""
    return Path(shutil.copytree(repository, tmp_path / "templates" / "ratchet", symlinks=True))


@pytest.fixture
def create(run, template, tmp_path):
    """Make a project with ``cruft create`` from the template's git URL."""

    def call(answers, **environ):
        given = ["--no-input", "--extra-context", json.dumps(answers), "--output-dir", str(tmp_path)]
        return run("cruft", "create", f"file://{template}", *given, **environ)

    return call


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_cruft_bakes_what_cookiecutter_bakes(create, bake, repository, tmp_path):
    assert create({}).returncode == 0
    made = files(tmp_path / DEFAULTS["project_slug"])
    shutil.rmtree(tmp_path / DEFAULTS["project_slug"])
    made.pop(".cruft.json")
    assert made == files(bake(repository))


def test_an_update_brings_the_engine_and_leaves_the_team_its_own(create, run, template, tmp_path):
    done = create({**OTHER, "init_git": True})
    assert done.returncode == 0, done.stderr
    assert "git init -b main && git add --all && git commit" in done.stdout, (
        "cruft adds a file after the bake, so it is by hand"
    )
    project = tmp_path / OTHER["project_slug"]
    (project / "model/problem.toml").write_text("# ours\n")
    (project / "model/features.py").unlink()
    change(project / "monitoring/alarms.py", '"""', '"""Ours. ')
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "ours"]):
        git(project, *arguments)

    change(template / "pipelines/storage/sql.py", '"""', '"""Newer. ')
    change(template / "model/problem.toml", "[business]", "# newer\n[business]")
    change(template / "README.md", "# Ratchet", "# Newer")
    change(template / "pyproject.toml", 'license = "Apache-2.0"', 'license = "MIT"')
    git(template, "commit", "-qam", "newer")

    done = run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "is ready" not in done.stdout, "what is next after a bake is not what is next after an update"
    changed = {line[3:] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", "template.json", "pipelines/storage/sql.py", "pyproject.toml"}
    assert (project / "pipelines/storage/sql.py").read_text().startswith('"""Newer. ')
    pyproject = (project / "pyproject.toml").read_text()
    assert ('license = "MIT"' in pyproject, f'name = "{OTHER["project_slug"]}"' in pyproject) == (True, True)
    assert (project / "model/problem.toml").read_text() == "# ours\n"

    examined = [sys.executable, "-m", "pipelines.entrypoints.cli", "doctor", "--json"]
    done = subprocess.run(examined, cwd=project, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert [one["says"] for one in found if one["check"] == "engine"] == [
        "monitoring/alarms.py was changed; an update that changes it asks you to merge"
    ]


def test_without_links_cruft_says_how_to_get_them(create, tmp_path):
    done = create({}, **NO_LINKS)
    assert (done.returncode != 0, "git config --global core.symlinks true" in done.stderr) == (True, True)
    assert not (tmp_path / DEFAULTS["project_slug"]).exists()
