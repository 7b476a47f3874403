"""Projects made with several answers pass what their CI will run, one of them in a team's hands."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.problems import bikes
from tests.template.conftest import OTHER, git
from tests.workflows.documents import DOCUMENTS

CHECKS = ["check", "check-workflows", "audit", "test-docs", "training-smoke"]
"""What the jobs of ci.yml run for most changes; each of them is looked up there."""
ANSWERS = {"defaults": {}, "other": OTHER, "foreign": {"project_slug": "bike-rentals", "licence": "proprietary"}}


@pytest.fixture
def project(request, bake, repository):
    folder = bake(repository, **ANSWERS[getattr(request, "param", "other")])
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "first")
    return folder


def commit(folder, message):
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", message)


def make(project, *arguments, **more):
    """Run make in a project, with nothing of this one's environment but the programs that Go builds."""
    outside = ("COV_", "MAKE", "MFLAGS", "RATCHET_", "VIRTUAL_ENV", "PYTEST_", "UV_PROJECT_ENVIRONMENT")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    command = ["make", *arguments]
    environ |= {"TOOLS": str(ROOT / ".tools"), **more}
    started = time.monotonic()
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    last = (done.stdout.strip().splitlines() or [""])[-1]
    sys.stdout.write(f"make {' '.join(arguments)}: {time.monotonic() - started:.0f} s, {last}\n")


def test_what_a_bake_is_checked_by_is_what_its_ci_runs():
    run = {step.get("run") for job in DOCUMENTS["workflows/ci.yml"]["jobs"].values() for step in job.get("steps", ())}
    assert {f"make {target}" for target in CHECKS} <= run


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["deptry", "."],
        ["pytest", "-p", "no:cacheprovider", "-n", "0", "--no-cov", "tests/docs"],
    ],
    ids=" ".join,
)
def test_what_the_answers_can_break_is_whole(project, command):
    """The environment of the template serves here: the two need the same packages, and equal code has equal types."""
    environ = {**os.environ, "PYTHONPATH": str(project)}
    run = [sys.executable, "-m", *command]
    done = subprocess.run(run, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.bake
@pytest.mark.parametrize("project", ["defaults", "other"], indirect=True)
def test_it_passes_what_its_ci_runs_in_an_environment_of_its_own(project):
    for target in CHECKS:
        make(project, target)
    assert (project / ".venv/bin/mlops").exists()
    assert (project / ".ratchet/demo/report.html").exists()
    assert git(project, "status", "--porcelain") == "", "what checks and the demo make is ignored by git"


@pytest.mark.bake
@pytest.mark.parametrize("project", ["foreign"], indirect=True)
def test_it_passes_its_tests_in_a_teams_hands(project, tmp_path):
    """Another problem, a table, a picture and a notebook of the team's are committed, and a package that its code uses."""
    bikes.sample().to_csv(tmp_path / "bikes.csv", index=False)
    make(project, "sync", EXTRAS="aws github kubernetes render")
    new = ["problem", "new", "--sample", str(tmp_path / "bikes.csv"), "--no-input", "--replace", "flight-delay"]
    flags = {
        "--name": "bike-rentals", "--title": "Bikes rented in the next hour", "--owner": "fleet@acme.dev",
        "--key": "Station,asked at", "--event-time": "asked at", "--label": "rentals", "--label-delay": "1d",
        "--entities": "Station", "--over": "1", "--under": "3",
    }  # fmt: skip
    given = [text for flag in flags.items() for text in flag]
    subprocess.run([project / ".venv/bin/mlops", *new, *given], cwd=project, check=True, capture_output=True)
    (project / "model/stations.bin").write_bytes(bytes(range(256)))
    (project / "notes.md").write_text("Run `make fly` in `no/such/folder`, see `docs/fly.md`.\n")
    shutil.copy(ROOT / "docs/images/report.png", project / "model/chart.png")
    (project / "model/look.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n')
    stated, features = project / "pyproject.toml", project / "model/features.py"
    stated.write_text(stated.read_text().replace("features = []", 'features = ["vega-datasets==0.9.0"]'))
    imported = "import numpy as np\nimport vega_datasets  # type: ignore[import-untyped]  # noqa: F401\n"
    features.write_text(features.read_text().replace("import numpy as np\n", imported, 1))
    subprocess.run(["uv", "lock", "--quiet"], cwd=project, check=True)
    commit(project, "our problem")
    suite = {"SUITE": "model/tests tests/docs tests/contract tests/e2e/test_demo.py"}
    for target in CHECKS[:-1]:
        make(project, target)
    make(project, "test", **suite)
    assert git(project, "status", "--porcelain") == ""
    assert "flight" not in (project / "README.md").read_text().lower()
