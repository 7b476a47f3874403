"""The root is the template: what is baked is the root, less what is the template's alone, with the answers in it."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.template.conftest import (
    DEFAULTS,
    OTHER,
    PROMPTS,
    TEMPLATE,
    files,
    git,
    without_the_names_of_the_engine,
)

OWN = ["LICENSE", "README.md", "pyproject.toml"]
"""What a team's project says of itself: its page, and the licence of its own work."""
LINKS = ROOT / "{{cookiecutter.project_slug}}"
ON_MASTER = {"GIT_CONFIG_KEY_0": "init.defaultBranch", "GIT_CONFIG_VALUE_0": "master"}
NO_LINKS = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.symlinks", "GIT_CONFIG_VALUE_0": "false"}


def is_of_the_template(name):
    return any(name == path or (path.endswith("/") and name.startswith(path)) for path in TEMPLATE["_template_only"])


@pytest.fixture
def expected(repository):
    """What must be baked: each tracked file of a clean checkout less the template's own."""
    return {name: content for name, content in files(repository).items() if not is_of_the_template(name)}


def check(project, expected):
    found = files(project)
    record = json.loads(found.pop("template.json")[0])
    assert sorted(found) == sorted(expected)
    assert sorted(name for name in found if found[name] != expected[name]) == OWN
    assert sorted(record["files"]) == sorted(expected)


def test_the_folder_of_the_template_has_a_link_for_each_entry_of_the_root(repository):
    tracked = {name.split("/")[0] + "/" * ("/" in name) for name in git(repository, "ls-files").splitlines()}
    wanted = sorted(name.rstrip("/") for name in tracked if not is_of_the_template(name))
    assert sorted(path.name for path in LINKS.iterdir()) == TEMPLATE["_copy_without_render"] == wanted
    for path in LINKS.iterdir():
        if path.name == ".gitignore":  # git reads no ignore file through a link
            assert path.read_bytes() == (ROOT / path.name).read_bytes()
        else:
            assert path.readlink() == Path("..") / path.name


def test_template_only_paths_exist_and_copied_folders_hold_no_link(repository):
    assert all((repository / path).exists() for path in TEMPLATE["_template_only"])
    links = [path for path in repository.rglob("*") if path.is_symlink()]
    assert {path.parent.name for path in links} == {LINKS.name}


def test_from_a_path_the_defaults_give_the_root(bake, repository, expected):
    check(bake(repository), expected)


def test_from_a_relative_path(bake, repository, expected, tmp_path):
    shutil.copytree(repository, tmp_path / "here", symlinks=True)
    check(bake("here"), expected)


def test_from_a_git_url(bake, repository, expected):
    check(bake(f"git+file://{repository}"), expected)


def test_from_a_zip_in_which_links_are_text_and_nothing_may_be_run(bake, repository, expected, tmp_path):
    archive = tmp_path / "ratchet.zip"
    git(repository, "archive", "--format=zip", "--prefix=ratchet-main/", f"--output={archive}", "HEAD")
    check(bake(archive), expected)


def test_from_a_clone_without_links_as_on_windows(bake, repository, expected, tmp_path):
    check(bake(f"git+file://{repository}", NO_LINKS), expected)


def test_caches_and_work_in_progress_do_not_arrive(bake, repository, expected, tmp_path):
    used = Path(shutil.copytree(repository, tmp_path / "used", symlinks=True))
    for name in (
        ".venv/big",
        ".ratchet/online.db",
        "model/__pycache__/x.pyc",
        "model/data/rows.csv",
        "releases/dev.toml",
    ):
        (used / name).parent.mkdir(parents=True, exist_ok=True)
        (used / name).write_text("made by work")
    project = bake(used)
    check(project, expected)
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_other_answers_leave_no_trace_of_the_defaults(bake, repository):
    before, after = (
        {
            name: without_the_names_of_the_engine(content.decode())
            for name, (content, _) in files(bake(repository, **answers)).items()
            if not name.endswith(".png")
        }
        for answers in ({}, OTHER)
    )
    needles = {name: DEFAULTS[name] for name in PROMPTS if name != "init_git"}
    needles["licence"] = "LicenseRef-Proprietary"
    needles["monthly_budget"] = f"monthly_budget = {DEFAULTS['monthly_budget']}"
    for prompt, needle in needles.items():
        assert any(needle.casefold() in text for text in before.values()), f"{prompt} is asked and not used"
        assert [name for name, text in after.items() if needle.casefold() in text] == [], prompt


def test_the_answers_arrive(bake, repository):
    project = bake(repository, **OTHER)
    stated = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert (stated["name"], stated["description"]) == (OTHER["project_slug"], OTHER["description"])
    assert stated["authors"] == [{"name": OTHER["author_name"], "email": OTHER["email"]}]
    assert stated["urls"] == {"Repository": f"https://github.com/acme-gmbh/{OTHER['project_slug']}"}
    assert (
        (project / "README.md")
        .read_text()
        .startswith(f"# Fleet Prices Of All The Eastern Regions\n\n{OTHER['description']}\n")
    )
    owners = (project / ".github/CODEOWNERS").read_text().splitlines()
    assert owners[-1].split() == ["/releases/", "@ada", "@acme-gmbh/owners"]
    cloud = tomllib.loads((project / "cloud.toml").read_text())
    assert cloud == {"region": "ap-southeast-2", "monthly_budget": 99.5, "environments": ["dev", "prod"]}
    names = [package["name"] for package in tomllib.loads((project / "uv.lock").read_text())["package"]]
    assert OTHER["project_slug"] in names
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("licence", "spdx", "says"),
    [
        ("proprietary", "Apache-2.0 AND LicenseRef-Proprietary", "All rights reserved."),
        ("MIT", "Apache-2.0 AND MIT", "Permission is hereby granted, free of charge"),
        ("Apache-2.0", "Apache-2.0", ""),
    ],
)
def test_the_licence_is_the_teams_and_the_engine_keeps_its_own(bake, repository, licence, spdx, says):
    project = bake(repository, licence=licence, author_name="Zoë")
    text, engine = (project / "LICENSE").read_text(), (ROOT / "LICENSE").read_text()
    assert (text == engine) == (says == "")
    assert says in text and text.endswith(engine)
    assert text.startswith("Copyright (c) Zoë\n" if says else "\n")
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["license"] == spdx


def test_the_page_is_the_teams_and_leads_to_pages_that_exist(bake, repository):
    project = bake(repository, project_slug="fleet", description="Prices of a fleet")
    page = (project / "README.md").read_text()
    assert page.startswith("# Fleet\n\nPrices of a fleet\n")
    assert "flight" not in page.lower()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links and [link for link in links if not (project / link).exists()] == []


def test_git_is_started_on_request_alone(bake, repository):
    project = bake(repository, {"GIT_CONFIG_COUNT": "1", **ON_MASTER}, project_slug="fleet", init_git="yes")
    assert git(project, "branch", "--show-current") == "main\n"
    assert git(project, "log", "--format=%an %s") == "Ada Start from the template\n"
    assert git(project, "status", "--porcelain") == ""
    record = json.loads((project / "template.json").read_text())
    assert record["commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert not (bake(repository, project_slug="other", init_git="no") / ".git").exists()


def force(run, repository, tmp_path):
    return run("cookiecutter", str(repository), "--no-input", "-f", "project_slug=fleet", "init_git=no", cwd=tmp_path)


def test_a_repository_of_somebody_else_is_refused_and_left_alone(run, repository, tmp_path):
    theirs = tmp_path / "fleet"
    for name in ("README.md", "src/fleet/app.py", "model/weights.bin", "empty.toml"):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / name).write_text(f"their own {name}")
    git(theirs, "init", "-q", "-b", "trunk")
    git(theirs, "add", "--all")
    git(theirs, "commit", "-qm", "years of work")
    (theirs / "notes.txt").write_text("not committed")
    before, head = files(theirs), git(theirs, "rev-parse", "HEAD")
    done = force(run, repository, tmp_path)
    assert done.returncode != 0
    assert "fleet is not empty: it holds README.md, empty.toml, model, notes.txt, src." in done.stderr
    assert (files(theirs), git(theirs, "rev-parse", "HEAD")) == (before, head)


def test_a_new_clone_without_files_is_filled_and_keeps_its_history(run, repository, tmp_path, expected):
    (tmp_path / "fleet").mkdir()
    git(tmp_path / "fleet", "init", "-q", "-b", "main")
    git(tmp_path / "fleet", "remote", "add", "origin", "https://github.com/acme/fleet")
    done = force(run, repository, tmp_path)
    assert done.returncode == 0, done.stderr
    assert git(tmp_path / "fleet", "remote", "get-url", "origin") == "https://github.com/acme/fleet\n"
    assert sorted(files(tmp_path / "fleet")) == sorted([*expected, "template.json"])
