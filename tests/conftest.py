"""What the tests share: platforms on the tiny problems, in folders of their own."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest

from pipelines.bootstrap import Platform
from pipelines.config import (
    AllAtOnce,
    Code,
    Example,
    FeatureType,
    FeatureVersions,
    GateResult,
    Manifest,
    Period,
    Task,
    Variant,
)
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose
from pipelines.feature import FeatureParams
from pipelines.settings import Settings
from pipelines.training import Candidate, TrainingParams
from tests.cloud.emulator import VARIABLES, running_emulator

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
HISTORY, NOW = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 25, tzinfo=UTC)
PROBLEMS = ("tests.problems.late", "tests.problems.minutes")


def unmeasured() -> dict[str, str]:
    """The environment of processes that are killed: they would not save what coverage takes a third of their time for."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def make_platform(home: Path, problem: str = PROBLEMS[0], **settings: object) -> Platform:
    """Return a platform whose every file lies below ``home``."""
    given = {"home": home, "releases": home / "releases", "problem": problem, "clock": "requests", **settings}
    return Platform(Settings.model_validate(given), ROOT)


def learn(platform: Platform) -> Candidate:
    """Ingest the history and train on it."""
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "history")
    candidate: Candidate = platform.run("training", TrainingParams(as_of=NOW, reason="test"), "first")
    return candidate


def release(platform: Platform, candidate: Candidate) -> None:
    """Release a candidate to all traffic."""
    released = Variant(model=candidate.model, version=candidate.version)
    file = propose_model(platform.models, platform.releases.state(), released, AllAtOnce())
    propose(platform.release_target, Actor("tester", NOW), file)
    approve(platform.release_target, Actor("reviewer", NOW), file)
    platform.run("deployment", DeploymentParams(release=file, as_of=NOW, who="tester"))


@pytest.fixture
def manifest() -> Manifest:
    """A manifest that was accepted, of a model that does not exist."""
    moment = Period(start=HISTORY, end=NOW, rows=100)
    return Manifest(
        problem="parcel-late",
        task=Task.BINARY,
        run_id="run",
        created=NOW,
        reason="test",
        estimator="boosting",
        settings={},
        code=Code(commit="c" * 40, modified=False, lock_sha256="", problem_sha256=""),
        data={"raw.parcels": 1},
        feature_versions=FeatureVersions(views={}, request=""),
        features={"weight": FeatureType.NUMERIC},
        request_schema={},
        periods={"train": moment, "validation": moment, "test": moment},
        metrics={"test": {"log_loss": 0.3}, "champion": {}},
        champion_model=None,
        gates=(GateResult(gate="absolute_quality", passed=True, reason="good"),),
        example=Example(features={"weight": 1.0}, prediction=0.5),
        files={},
    )


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    """The URL of an emulator of AWS, one for each process of the tests."""
    with running_emulator() as url:
        yield url


@pytest.fixture
def emulator(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an emulator that the AWS SDKs of this process and of those that it starts ask.

    What AWS would refuse of this process's requests, and the emulator takes, fails the test.
    """
    from tests.aws.calls import recording

    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": emulator_url}.items():
        monkeypatch.setenv(name, value)
    with recording() as recorded:
        yield emulator_url
    assert sorted(set(recorded.faults)) == []


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: making one takes seconds, copying it none."""
    home = tmp_path_factory.mktemp("mlflow-template")
    make_platform(home).tracking.prepare()
    return home / "mlflow"


@pytest.fixture
def new_platform(tmp_path: Path, mlflow_database: Path) -> Iterator[Callable[..., Platform]]:
    """Make a platform in a folder of its own, by problem."""

    def make(problem: str = PROBLEMS[0], name: str = "home", **settings: object) -> Platform:
        shutil.copytree(mlflow_database, tmp_path / name / "mlflow", dirs_exist_ok=True)
        return make_platform(tmp_path / name, problem, **settings)

    return make


@pytest.fixture(scope="session")
def released_home(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A home in which version 1 is released; copy it before you change anything."""
    home = tmp_path_factory.mktemp("released") / "home"
    shutil.copytree(mlflow_database, home / "mlflow")
    platform = make_platform(home)
    release(platform, learn(platform))
    return home


@pytest.fixture
def released(released_home: Path, tmp_path: Path) -> Platform:
    """A platform in which version 1 is released, anew for each test."""
    return make_platform(shutil.copytree(released_home, tmp_path / "released"))


@pytest.fixture(scope="module", params=PROBLEMS)
def learned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path
) -> Platform:
    """A platform of each task with history, features and a first candidate; for tests that change nothing in it."""
    home = tmp_path_factory.mktemp("learned")
    shutil.copytree(mlflow_database, home / "mlflow")
    platform = make_platform(home, request.param)
    assert learn(platform).accepted
    return platform
