"""A repository on GitHub with version 1 in service, and one whose data is there and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.bootstrap import Platform
from pipelines.deployment.proposal import standing
from pipelines.deployment.release_file import changed
from tests.workflows.github import serving
from tests.workflows.workplace import Workplace


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
