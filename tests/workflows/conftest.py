"""A repository on GitHub with version 1 in service, and one whose data is there and nothing else."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.bootstrap import Platform
from pipelines.deployment.proposal import standing
from pipelines.deployment.release_file import changed
from pipelines.github.client import GitHubClient
from pipelines.settings import Workflow
from tests.workflows.github import MAIN, NAME, FakeGitHub, serving
from tests.workflows.workplace import OWNER, Workplace


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    """GitHub with a repository whose releases belong to a person and a team, and nothing else in it."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", MAIN, tmp_path / "origin.git"], check=True)
    made = FakeGitHub(tmp_path / "origin.git")
    made.logins |= {f"{name}@example.com": name for name in ("ada", OWNER, "mary")}
    owned = f"* @acme/engineers\n/releases/ @{OWNER} @acme/owners\n"
    made.push({".github/CODEOWNERS": owned, ".github/workflows/ci.yml": "", "README.md": "x\n"})
    with serving(made):
        yield made


@pytest.fixture
def github(fake: FakeGitHub) -> GitHubClient:
    """The client, without the waits between requests that GitHub asks for."""
    made = GitHubClient(Workflow(api=fake.url, token="t", repository=NAME, output=None))
    requester = made._api.requester
    requester._Requester__seconds_between_requests = requester._Requester__seconds_between_writes = None
    return made


@pytest.fixture
def workplace(released: Platform, tmp_path: Path) -> Iterator[Workplace]:
    """A repository whose release file says what serves: version 1."""
    made = Workplace(tmp_path, released.home)
    made.begin(changed(None, standing(released.models, released.releases.state())))
    with serving(made.github):
        yield made


@pytest.fixture
def new_workplace(mlflow_database: Path, tmp_path: Path) -> Iterator[Workplace]:
    """A repository of a home that is empty."""
    shutil.copytree(mlflow_database, tmp_path / "home/mlflow")
    made = Workplace(tmp_path, tmp_path / "home")
    made.begin()
    with serving(made.github):
        yield made
