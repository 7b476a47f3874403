"""The linters of workflows: nothing is found, and a fault that is planted is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.named import JUDGED
from tests.workflows.documents import ACTIONS, GITHUB, ROOT, STEPS, WORKFLOWS

PATH = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".tools"), os.environ["PATH"]])
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-actions": ACTIONS,
    "dependabot": [GITHUB / "dependabot.yml"],
    "github-issue-forms": [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
}
SCRIPTS = [name for name in JUDGED if (ROOT / name).read_bytes()[:2] == b"#!"]
BAD = """\
on: { issues: }
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - run: echo ${{ github.event.issue.title }} $UNQUOTED
      - uses: actions/checkout@v7
"""


def run(*command, folder=ROOT, text=None):
    """Run a linter and return its exit code and what it says."""
    found = shutil.which(command[0], path=PATH)
    if found is None:
        pytest.skip(f"{command[0]} is not here; 'make check-workflows' builds it with Go")
    done = subprocess.run(
        [found, *map(str, command[1:])],
        cwd=folder, env={**os.environ, "PATH": PATH}, input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bad(tmp_path):
    """A workflow that has a fault for each linter, in a repository of its own."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    path = tmp_path / ".github/workflows/bad.yml"
    path.parent.mkdir(parents=True)
    path.write_text(BAD)
    return path


def test_actionlint_finds_nothing():
    assert run("actionlint") == (0, "")


def test_actionlint_finds_injection_and_what_shellcheck_finds(bad):
    code, said = run("actionlint", folder=bad.parents[2])
    assert code == 1
    assert "is potentially untrusted" in said
    assert "shellcheck reported issue" in said


def test_zizmor_finds_nothing():
    code, said = run("zizmor", "--offline", "--no-progress", ".github")
    assert (code, "No findings to report" in said) == (0, True), said


@pytest.mark.parametrize("audit", ["template-injection", "unpinned-uses", "excessive-permissions", "artipacked"])
def test_zizmor_finds_what_is_planted(bad, audit):
    code, said = run("zizmor", "--offline", "--no-progress", bad)
    assert code != 0
    assert f"[{audit}]" in said


def test_every_suppressed_finding_of_zizmor_is_explained():
    lines = [line for path in [*WORKFLOWS, *ACTIONS, GITHUB / "zizmor.yml"] for line in path.read_text().splitlines()]
    passed = [line for line in lines if re.search(r"zizmor: ignore|disable: true|ignore:", line)]
    assert passed
    assert [line for line in passed if not re.search(r"(disable: true #|ignore\[.*\]) .{20}", line)] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_file_fits_its_schema(schema):
    assert SCHEMAS[schema]
    code, said = run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *SCHEMAS[schema])
    assert code == 0, said


def test_a_file_that_does_not_fit_is_found(bad):
    bad.write_text(BAD.replace("runs-on", "run-on"))
    assert run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", bad)[0] == 1


def test_shellcheck_finds_nothing_in_scripts():
    assert SCRIPTS
    assert run("shellcheck", *SCRIPTS) == (0, "")


def test_shellcheck_finds_nothing_in_commands():
    commands = "\n".join(step["run"] for _, step in STEPS if "run" in step)
    assert run("shellcheck", "--shell", "bash", "-", text=commands) == (0, "")


def test_shellcheck_finds_what_is_planted():
    assert "SC2086" in run("shellcheck", "--shell", "bash", "-", text="rm $FILE")[1]
