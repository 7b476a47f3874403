"""The repository's own statements about itself hold."""

import re
import tomllib

import pytest

from tests.docs.named import FILES, ROOT, missing

PAGES = [name for name in FILES if name.endswith(".md")]
OWNERSHIP = tomllib.loads((ROOT / "ownership.toml").read_text())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_exists(page):
    assert missing((ROOT / page).read_text(), (ROOT / page).parent) == []


@pytest.mark.parametrize("path", OWNERSHIP["yours"])
def test_what_is_said_to_be_yours_is_there(path):
    assert any(name == path or (path.endswith("/") and name.startswith(path)) for name in FILES)


def test_an_owned_folder_is_spelled_as_a_folder():
    assert all(path.endswith("/") == (ROOT / path).is_dir() for path in OWNERSHIP["yours"])


def test_an_update_leaves_alone_what_is_said_to_be_yours():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["cruft"]["skip"] == [path.rstrip("/") for path in OWNERSHIP["yours"]]


@pytest.mark.parametrize("point", OWNERSHIP["extension_points"])
def test_an_extension_point_is_in_a_file_of_the_engine(point):
    path = point.partition(":")[0]
    assert path in FILES
    assert path not in OWNERSHIP["yours"]


def test_codeowners_names_folders_that_exist():
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert [path for path in paths if path != "*" and not (ROOT / path.strip("/")).exists()] == []


def test_the_repository_speaks_of_itself_alone():
    shared = re.compile(r"\.\./shared|/shared/")
    machine = re.compile(r"/(?:root|home|Users|work)/\w")
    for name in FILES:
        if name.endswith((".png", ".lock")) or name == "tests/docs/test_repository.py":
            continue
        text = (ROOT / name).read_text()
        assert not machine.search(text), f"{name} has a path of one machine"
        assert name == ".ci/run" or not shared.search(text), f"{name} reaches outside the repository"


def test_every_lock_entry_comes_from_the_public_index():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = {package["source"].get("registry") for package in lock["package"] if "registry" in package["source"]}
    assert sources == {"https://pypi.org/simple"}
