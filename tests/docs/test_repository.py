"""The repository's own statements about itself hold."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.docs.named import FILES, JUDGED, ROOT, missing

PAGES = [name for name in JUDGED if name.endswith(".md")]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OWNERSHIP = tomllib.loads((ROOT / "ownership.toml").read_text())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_exists(page):
    assert missing((ROOT / page).read_text(), (ROOT / page).parent) == []


def test_make_help_lists_each_target_of_people_in_groups_of_80_columns():
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = re.sub(r"\x1b\[\d*m", "", told).splitlines()
    groups = [line for line in lines if line and line[0] != " "]
    assert groups[:3] == ["Everyday", "Tests", "Infrastructure"]
    assert max(map(len, lines)) <= 80
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(phony)


def test_a_target_beside_the_makefile_is_one_that_workflows_call():
    kept = set(re.findall(r"^([a-z-]+):", (ROOT / ".github/workflows.mk").read_text(), re.MULTILINE))
    files = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]
    files += [ROOT / "Makefile", ROOT / ".github/clock.py"]
    calls = " ".join(
        re.findall(r"(?:make|\$\(MAKE\))(?: --no-print-directory)?((?: [a-z-]+)+)", "".join(map(Path.read_text, files)))
    )
    assert kept <= set(calls.split())


@pytest.mark.parametrize("path", OWNERSHIP["yours"])
def test_what_is_said_to_be_yours_is_there(path):
    assert any(name == path or (path.endswith("/") and name.startswith(path)) for name in FILES)


def test_an_owned_folder_is_spelled_as_a_folder():
    assert all(path.endswith("/") == (ROOT / path).is_dir() for path in OWNERSHIP["yours"])


def test_an_update_leaves_alone_what_is_said_to_be_yours():
    merged = ["pyproject.toml", "uv.lock"]
    assert {point.partition(":")[0] for point in OWNERSHIP["extension_points"]} == set(merged)
    assert PYPROJECT["tool"]["cruft"]["skip"] == merged + [path.rstrip("/") for path in OWNERSHIP["yours"]]


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
    outside = re.compile(r"\.\./shared|/shared/")
    machine = re.compile(r"/(?:root|home|Users|work)/\w")
    reaching = []
    for name in JUDGED:
        if name.endswith((".png", ".lock")) or name == "tests/docs/test_repository.py":
            continue
        text = (ROOT / name).read_text()
        assert not machine.search(text), f"{name} has a path of one machine"
        reaching += [f"{name}: {line}" for line in text.splitlines() if outside.search(line)]
    assert [line for line in reaching if "[[ -f $" not in line] == [], "a path outside the repository is not guarded"
    assert len(reaching) <= 1


@pytest.mark.parametrize("parent", ["pipelines", "infra"])
def test_contributing_has_a_row_for_each_room(parent):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = {name.split("/")[1] for name in FILES if name.startswith(f"{parent}/") and name.count("/") > 1}
    assert set(re.findall(rf"^\| `{parent}/(\w+)/` \|", text, re.MULTILINE)) == rooms


def test_contributing_lists_rooms_in_the_order_of_the_layers():
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["pipelines"])
    listed = re.findall(r"^\| `pipelines/(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    floor = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    assert [floor[name] for name in listed] == sorted(floor[name] for name in listed)


def test_the_development_python_is_one_that_ci_tests():
    version = (ROOT / ".python-version").read_text().strip()
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert f'"{version}"' in (ROOT / ".github/changes.py").read_text()
    assert container["image"].partition(":")[2].startswith(f"{version}-")
    assert missing(f"`{container['postCreateCommand'].partition(' EXTRAS')[0]}`") == []


def test_editors_use_the_line_length_of_the_linter():
    (length,) = re.findall(r"^max_line_length = (\d+)$", (ROOT / ".editorconfig").read_text(), re.MULTILINE)
    assert int(length) == PYPROJECT["tool"]["ruff"]["line-length"]


@pytest.mark.parametrize("name", [name for name in JUDGED if Path(name).name.startswith("test_")])
def test_names_of_tests_are_at_most_70_characters(name):
    defined = re.findall(r"^ *(?:async )?def (test_\w+)", (ROOT / name).read_text(), re.MULTILINE)
    assert [test for test in defined if len(test) > 70] == []


def test_what_features_import_is_in_the_serving_image_and_its_bill():
    groups = PYPROJECT["dependency-groups"]
    assert {"include-group": "features"} in groups["model"]
    assert set(PYPROJECT["tool"]["deptry"]["non_dev_dependency_groups"]) == {"features", "model"}
    for name in ("Dockerfile", ".github/workflows.mk"):
        assert "--only-group serve --only-group features" in (ROOT / name).read_text()


def test_every_lock_entry_comes_from_the_public_index():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = {package["source"].get("registry") for package in lock["package"] if "registry" in package["source"]}
    assert sources == {"https://pypi.org/simple"}
