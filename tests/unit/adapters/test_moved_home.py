"""A home may be moved, and a copy of it is a system of its own."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from pipelines.adapters.local.mlflow_database import follow_move
from pipelines.config import AllAtOnce, Variant
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, propose
from pipelines.feature import FeatureParams
from pipelines.training import TrainingParams
from pipelines.training.index import index
from tests.conftest import NOW, learn, make_platform, release

LATER = NOW + timedelta(days=7)


@pytest.fixture
def home(new_platform):
    platform = new_platform()
    release(platform, learn(platform))
    index(platform.models, platform.tracking)
    return platform.settings.home


def content(folder):
    """Return what each file holds: its bytes, or the statements that rebuild a database."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                found[path.relative_to(folder)] = "\n".join(database.iterdump())
        elif path.is_file() and not path.name.endswith(("-wal", "-shm")):
            found[path.relative_to(folder)] = path.read_bytes()
    return found


def everything(platform):
    """Return what each store of a home answers."""
    tables = [name for space in ("raw", "features", "quarantine") for name in platform.tables.names(space)]
    (run,) = platform.tracking._client.search_runs([platform.tracking._experiment(platform.problem.config.name)])
    return {
        "rows": {name: platform.tables.read(name).to_pydict() for name in tables},
        "files": {name: len(platform.tables.files(name)) for name in tables},
        "log": [entry.model_dump() for entry in platform.releases.entries()],
        "models": platform.models.versions(),
        "artifacts": [one.path for one in platform.tracking._client.list_artifacts(run.info.run_id)],
        "online": {view.name: platform.online.as_of(view.versioned_name) for view in platform.problem.views},
    }


def test_a_moved_home_answers_as_before(home, tmp_path):
    before = everything(make_platform(home))
    assert all(before.values())
    assert all(before["rows"].values())
    moved = make_platform(home.rename(tmp_path / "elsewhere"))
    assert everything(moved) == before
    assert all(str(tmp_path / "elsewhere") in name for name in moved.tables.files("raw.parcels"))


def test_work_in_a_copy_leaves_the_original_as_it_was(home, tmp_path):
    before = content(home)
    copy = make_platform(shutil.copytree(home, tmp_path / "copy"))
    copy.run("feature", FeatureParams(start=NOW, end=LATER), "week")
    trained = copy.run("training", TrainingParams(as_of=LATER, reason="in the copy"), "second")
    file = propose_model(
        copy.models, copy.releases.state(), Variant(model=trained.model, version=2), AllAtOnce(), override="a test"
    )
    propose(copy.release_target, Actor("tester", LATER), file)
    assert len(copy.models.versions()) == 2
    assert len(list((tmp_path / "copy" / "mlflow" / "artifacts").iterdir())) == 2
    assert content(home) == before


def test_the_original_and_a_copy_give_the_same_models(home, tmp_path):
    both = [make_platform(home), make_platform(shutil.copytree(home, tmp_path / "copy"))]
    for platform in both:
        platform.run("feature", FeatureParams(start=NOW, end=LATER), "week")
    first, second = (platform.tables.read("raw.parcels").to_pydict() for platform in both)
    assert first == second


def test_no_file_of_a_home_names_its_folder_but_mlflow(home):
    named = [
        path.relative_to(home) for path in home.rglob("*") if path.is_file() and str(home).encode() in path.read_bytes()
    ]
    assert {str(path) for path in named} <= {"mlflow/mlflow.db"}


def test_following_a_move_twice_changes_nothing(home):
    database, artifacts = home / "mlflow" / "mlflow.db", (home / "mlflow" / "artifacts").as_uri()
    before = content(home)
    follow_move(database, artifacts)
    assert content(home) == before


def test_a_database_without_tables_is_left_alone(tmp_path):
    follow_move(tmp_path / "none.db", "file:///artifacts")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    follow_move(tmp_path / "empty.db", "file:///artifacts")
    assert (tmp_path / "empty.db").read_bytes() == b""
