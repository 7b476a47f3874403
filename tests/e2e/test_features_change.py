"""Features change in service: under constant load, every answer is by the model and the features that the log names."""

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.batch.predict import predict
from pipelines.batch.requests import of_file
from pipelines.config import AllAtOnce, CanaryStrategy, Shadow, Variant
from pipelines.deployment import DeploymentParams
from pipelines.deployment.canary_analysis import AnalysisOutcome
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, approve, conclude, promote, propose, roll_back
from pipelines.feature import FeatureParams
from pipelines.monitor import MonitorParams
from pipelines.serving.service import PredictionService
from pipelines.settings import Settings
from pipelines.storage.prediction_log import LogWriter
from pipelines.training import TrainingParams
from tests.conftest import HISTORY, NOW, make_platform, release
from tests.definitions import POUNDS, ROWS, WIDER, edited, expected

DAY = timedelta(days=1)
WEIGHTS = dict(zip(ROWS["parcel_id"].to_pylist(), ROWS["weight"].to_pylist(), strict=True))
WEAK = {"boosting": {"max_iter": 14}}


@pytest.fixture
def weak(new_platform):
    """A platform in which a model serves that is easily beaten."""
    platform = new_platform()
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    release(platform, platform.run("training", TrainingParams(as_of=NOW, reason="first", settings=WEAK), "first"))
    return platform


class Load:
    """Requests without a pause, each of one row, two or three, to the service that answers at the moment."""

    def __init__(self, service):
        self.service, self.errors, self.answers, self._stop = service, [], [], threading.Event()
        self._rows = ROWS.drop_columns(["recipient"]).to_pylist()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(2)]
        for thread in (*self._threads, poll := threading.Thread(target=self._poll)):
            thread.start()
        self._threads.append(poll)

    def _ask(self, number):
        while not self._stop.is_set():
            asked = [self._rows[(number + place) % len(self._rows)] for place in range(1 + number % 3)]
            try:
                answer = self.service.predict(msgspec.json.encode({"instances": asked}))
                given = [one["parcel_id"] for one in asked]
                self.answers += zip(given, answer["predictions"], strict=True)
            except Exception as error:
                self.errors.append(error)
            number += 3
            time.sleep(0.001)

    def _poll(self):
        while not self._stop.wait(0.02):
            self.service.refresh()

    def until(self, *versions):
        """Wait until these versions and no others answered the last of the requests."""
        deadline = time.monotonic() + 20
        while {answer["model_version"] for _, answer in self.answers[-60:]} != set(versions):
            assert time.monotonic() < deadline, (versions, self.errors[-1:])
            time.sleep(0.02)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def load_on(service) -> Iterator[Load]:
    load = Load(service)
    try:
        yield load
    finally:
        load.stop()


def service_of(platform, problem=None):
    writer = LogWriter(platform.objects, "dev", 60, 1000)
    made = PredictionService(
        problem or platform.problem,
        platform.online,
        platform.models,
        platform.releases,
        writer,
        Settings(clock="requests"),
    )
    made.refresh()
    return made


def deployed(platform, version, how, at, override=None):
    variant = Variant(model=platform.models.versions()[version], version=version)
    file = propose_model(platform.models, platform.releases.state(), variant, how, override)
    propose(platform.release_target, Actor("tester", at), file)
    approve(platform.release_target, Actor("reviewer", at), file)
    params = DeploymentParams(release=file, as_of=NOW, who="tester")
    platform.run("deployment", params, f"deploy-{version}-{how.kind}-{at:%d}")


def test_a_view_changes_under_load_and_every_answer_is_true(weak, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with load_on(service_of(weak)) as load:
        load.until(1)
        platform = make_platform(weak.home, edited(tmp_path, *WIDER, POUNDS))
        old, load.service = load.service, service_of(platform)  # the app is restarted with the new code
        platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "again")
        candidate = platform.run("training", TrainingParams(as_of=NOW, reason="wider window"), "second")
        manifest = platform.models.manifest(candidate.model)
        assert candidate.accepted, manifest.gates
        assert manifest.metrics["champion"], "the champion was asked, with its own features"
        assert (
            manifest.feature_versions != platform.models.manifest(weak.releases.state().champion.model).feature_versions
        )
        predicted = {version: expected(platform, version) for version in (1, 2)}

        deployed(platform, 2, CanaryStrategy(steps=(0.5,), bake=DAY), NOW)
        load.until(1, 2)
        time.sleep(1)
        load.service.log.flush()
        platform.run("feature", FeatureParams(start=NOW, end=NOW + 2 * DAY, online_as_of=NOW))  # the labels come
        judged = tick(
            platform.problem, platform.tables, platform.predictions, platform.release_target, Actor("judge", NOW + DAY)
        )
        assert judged.verdict.outcome is AnalysisOutcome.PASS, judged.verdict
        load.until(2)
        roll_back(platform.release_target, Actor("tester", NOW + DAY), "a test", champion_out=True)
        load.until(1)
        deployed(platform, 2, AllAtOnce(), NOW + DAY)
        load.until(2)
    for service in (old, load.service):
        service.close()

    assert load.errors == []
    logged = platform.predictions.read(NOW, NOW + DAY).to_pylist()
    by_id = {row["prediction_id"]: row for row in logged}
    states = {entry.number: entry.state for entry in platform.releases.entries()}
    assert len(load.answers) == len(by_id) > 500
    for key, answer in load.answers:
        row, version = by_id[answer["prediction_id"]], answer["model_version"]
        state = states[row["release"]]
        assert row["version"] == version == getattr(state, row["variant"]).version
        assert np.isclose(answer["prediction"], predicted[version][key], rtol=0, atol=1e-6)
        assert np.isclose(row["prediction"], answer["prediction"])
        assert np.isclose(row["feature_weight"], WEIGHTS[key] * (2.2 if version == 2 else 1))


def test_batch_and_monitors_take_each_model_with_its_own_features(weak, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    platform = make_platform(weak.home, edited(tmp_path, *WIDER, POUNDS))
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "again")
    platform.run("training", TrainingParams(as_of=NOW, reason="wider window"), "second")
    pq.write_table(ROWS, requests := tmp_path / "requests.parquet")
    for version, model in platform.models.versions().items():
        variant, output = Variant(model=model, version=version), tmp_path / f"v{version}.parquet"
        predict(
            platform.problem, platform.tables, platform.models, variant, of_file(platform.problem, requests), output
        )
        found = pq.read_table(output)
        given = dict(zip(found["key"].to_pylist(), found["prediction"].to_pylist(), strict=True))
        assert given == pytest.approx(expected(platform, version), abs=1e-6)
    with load_on(service_of(platform)) as load:
        load.until(1)
        deployed(platform, 2, CanaryStrategy(steps=(0.5,), bake=DAY), NOW)
        load.until(1, 2)
        time.sleep(0.5)
        load.service.log.flush()
        for serves in (1, 2):
            measured = platform.run("monitor", MonitorParams(as_of=NOW + DAY), f"monitor-{serves}").measured
            assert measured.version == serves
            assert measured.drift["weight"] < 0.6, "in kilograms against kilograms, in pounds against pounds"
            if serves == 1:
                promote(platform.release_target, Actor("tester", NOW), "a test")


def test_a_shadow_is_asked_with_its_own_features(weak, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    platform = make_platform(weak.home, edited(tmp_path, *WIDER, POUNDS))
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "again")
    platform.run("training", TrainingParams(as_of=NOW, reason="wider window"), "second")
    predicted = {version: expected(platform, version) for version in (1, 2)}
    deployed(platform, 2, Shadow(duration=DAY), NOW)
    with load_on(service_of(platform)) as load:
        load.until(1)
        time.sleep(0.5)
    load.service.close()
    assert load.errors == []
    for row in platform.predictions.read(NOW, NOW + DAY).to_pylist():
        assert row["mirror_error"] is None
        assert np.isclose(row["prediction"], predicted[1][row["key"]], rtol=0, atol=1e-6)
        assert np.isclose(row["mirror_prediction"], predicted[2][row["key"]], rtol=0, atol=1e-6)
    conclude(platform.release_target, Actor("tester", NOW), "a test")
