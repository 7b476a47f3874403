"""The service with real models: routing, fallback, swapping, and what it answers to bad requests."""

import json
from datetime import timedelta

import numpy as np
import pytest

from pipelines.config import AbTest, BlueGreen, CanaryStrategy, Shadow, UserError, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, promote, propose, roll_back, start
from pipelines.feature.decode import JSON
from pipelines.serving.model import Rejected, ServedModel
from pipelines.serving.routing import to_challenger
from pipelines.serving.service import NoRelease, PredictionService
from pipelines.settings import Settings
from pipelines.storage.prediction_log import LogReader, LogWriter
from tests.conftest import NOW
from tests.problems import parcels


@pytest.fixture
def platform(released):
    return released


@pytest.fixture
def service(platform):
    writer = LogWriter(platform.objects, "dev", flush_seconds=60, flush_rows=10_000)
    made = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    made.refresh()
    yield made
    writer.close()


def requests(count=40):
    rows = parcels.read("parcels", NOW, NOW + timedelta(days=2)).slice(0, count).to_pylist()
    return [{name: value.isoformat() if name == "asked_at" else value for name, value in row.items()} for row in rows]


def body(rows):
    return json.dumps({"instances": rows}).encode()


def canary(platform, model, version, share=0.5):
    live(platform, model, version, CanaryStrategy(steps=(share,), bake=timedelta(days=1)))


def live(platform, model, version, strategy):
    actor, released = Actor("tester", NOW), Variant(model=model, version=version)
    file = propose_model(platform.models, platform.releases.state(), released, strategy, override="a test")
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    start(platform.release_target, actor, file)


def test_without_a_release_there_is_no_answer(new_platform):
    empty = new_platform(name="empty")
    writer = LogWriter(empty.objects, "dev", 60, 100)
    service = PredictionService(empty.problem, empty.online, empty.models, empty.releases, writer, empty.settings)
    service.refresh()
    with pytest.raises(NoRelease):
        service.predict(body(requests(1)))
    writer.close()


def test_an_answer_has_a_prediction_an_id_a_version_and_a_variant(service):
    answer = service.predict(json.dumps(requests(1)[0]).encode())
    assert 0 <= answer["prediction"] <= 1
    assert (len(answer["prediction_id"]), answer["model_version"], answer["variant"]) == (32, 1, "champion")


def test_several_are_answered_in_their_order(service):
    rows = requests()
    together = [answer["prediction"] for answer in service.predict(body(rows))["predictions"]]
    alone = [service.predict(json.dumps(row).encode())["prediction"] for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def together(service, rows):
    return service.predict_together([(json.dumps(row).encode(), JSON) for row in rows])


def test_requests_that_arrive_together_are_answered_as_each_alone(service):
    rows = requests(12)
    bodies = [body(rows[:3]), *(json.dumps(row).encode() for row in rows[3:11]), body(rows[11:])]
    first, *single, last = service.predict_together([(given, JSON) for given in bodies])
    answers = [*first["predictions"], *single, *last["predictions"]]
    assert len({answer["prediction_id"] for answer in answers}) == service.log.pending == 12
    alone = [service.predict(json.dumps(row).encode())["prediction"] for row in rows]
    np.testing.assert_allclose([answer["prediction"] for answer in answers], alone, atol=1e-6)
    service.log.flush()
    logged = LogReader(service.log._objects, "dev").read(NOW, NOW + timedelta(days=20)).to_pylist()[:12]
    assert [row["prediction_id"] for row in logged] == [answer["prediction_id"] for answer in answers]
    assert [row["key"] for row in logged] == [row["parcel_id"] for row in rows]
    assert len({row["latency_ms"] for row in logged}) == 1, "the model ran once"
    assert "invocation_seconds_count 22.0" in service.metrics.text().decode()


def test_what_arrives_together_with_a_bad_request_is_answered(service):
    rows = requests(3)
    good, bad, late, other = together(
        service, [rows[0], {**rows[1], "wieght": 1}, {**rows[1], "weight": None}, rows[2]]
    )
    assert "unknown field" in str(bad)
    assert isinstance(bad, UserError)
    assert all(0 <= answer["prediction"] <= 1 for answer in (good, late, other))
    assert service.log.pending == 3
    assert 'missing_features_total{feature="weight"} 1.0' in service.metrics.text().decode(), "counted once"


def test_requests_are_scored_apart_while_a_challenger_takes_traffic(service, platform):
    champion = platform.releases.state().champion
    model, version, _ = plant_failing_model(platform.models, champion.model, "weight")
    canary(platform, model, version)
    service.refresh()
    assert {answer["variant"] for answer in together(service, requests())} == {"champion", "challenger"}
    service.log.flush()
    logged = LogReader(service.log._objects, "dev").read(NOW, NOW + timedelta(days=20))
    assert len(set(logged["latency_ms"].to_pylist())) > 30


def test_without_a_release_all_that_arrive_together_are_reported(new_platform):
    empty = new_platform(name="empty")
    service = PredictionService(
        empty.problem, empty.online, empty.models, empty.releases, LogWriter(empty.objects, "x", 60, 9)
    )
    assert [type(answer) for answer in together(service, requests(2))] == [NoRelease, NoRelease]
    service.log.close()


def test_missing_features_are_counted_and_an_unknown_entity_is_answered(service):
    row = {**requests(1)[0], "weight": None}
    assert "prediction" in service.predict(json.dumps(row).encode())
    assert 'missing_features_total{feature="weight"} 1.0' in service.metrics.text().decode()


def test_a_feature_past_its_time_to_live_counts_as_missing(service):
    late = {**requests(1)[0], "asked_at": (NOW + timedelta(days=9)).isoformat()}
    service.predict(json.dumps(late).encode())
    assert 'missing_features_total{feature="queue_now"} 1.0' in service.metrics.text().decode()


def test_a_bad_request_changes_nothing(service):
    with pytest.raises(UserError, match="unknown field"):
        service.predict(json.dumps({**requests(1)[0], "wieght": 1}).encode())
    assert service.log.pending == 0


def test_a_key_always_goes_to_the_same_variant_and_the_share_is_kept():
    keys = [f"key {number}" for number in range(20_000)]
    first = [to_challenger(key, 2, 0.2) for key in keys]
    assert first == [to_challenger(key, 2, 0.2) for key in keys]
    assert np.mean(first) == pytest.approx(0.2, abs=0.01)
    other = [to_challenger(key, 3, 0.2) for key in keys]
    assert np.mean(np.array(first) & np.array(other)) == pytest.approx(0.04, abs=0.01)  # not the same fifth each time


def test_a_failing_challenger_fails_no_request(platform, service):
    model, version, limit = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    canary(platform, model, version)
    service.refresh()
    rows = requests(150)
    answers = service.predict(body(rows))["predictions"]
    service.log.flush()
    log = LogReader(platform.objects, "dev").read(NOW, NOW + timedelta(days=3)).to_pylist()
    by_key = {row["key"]: row for row in log}
    assert len(answers) == 150
    for row, answer in zip(rows, answers, strict=True):
        logged = by_key[row["parcel_id"]]
        failed = logged["routed"] == "challenger" and row["weight"] > limit
        assert (logged["error"] is not None) == failed
        assert answer["variant"] == ("champion" if failed else logged["routed"])
    assert sum(row["error"] is not None for row in log) > 0
    assert sum(row["variant"] == "challenger" for row in log) > 40


def logged(platform, service):
    service.close()
    return LogReader(platform.objects, "dev").read(NOW, NOW + timedelta(days=3)).to_pylist()


@pytest.mark.parametrize(
    ("strategy", "answers", "mirror_fails"),
    [(Shadow(duration=timedelta(days=1)), 1, True), (BlueGreen(bake=timedelta(days=1)), 2, False)],
)
def test_a_mirrored_variant_is_asked_beside_the_one_that_answers(platform, service, strategy, answers, mirror_fails):
    model, version, limit = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    live(platform, model, version, strategy)
    service.refresh()
    rows = [row for row in requests(150) if row["weight"] <= limit or mirror_fails]
    given = service.predict(body(rows))["predictions"]
    assert {answer["model_version"] for answer in given} == {answers}
    log = {row["key"]: row for row in logged(platform, service)}
    for row in rows:
        seen, fails = log[row["parcel_id"]], row["weight"] > limit
        assert (seen["mirror_error"] is not None) == fails
        assert seen["mirror_latency_ms"] is not None
        # The planted model predicts what the champion does, where it does not fail.
        assert seen["mirror_prediction"] == (None if fails else seen["prediction"])
    assert any(row["weight"] > limit for row in rows) == mirror_fails


def test_mirrored_predictions_are_pending_until_they_are_logged(platform, service):
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    live(platform, model, version, Shadow(duration=timedelta(days=1)))
    service.refresh()
    service.predict(body(requests(5)))
    assert service.pending > 0
    assert len(logged(platform, service)) == 5
    assert service.pending == 0


def test_an_ab_test_keeps_each_value_of_its_sticky_field_with_one_variant(platform, service):
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    light = [{**row, "weight": 1.0} for row in requests(150)]
    live(platform, model, version, AbTest(sticky_by="depot", horizon=timedelta(days=9)))
    service.refresh()
    service.predict(body(light))
    routed = {}
    for row in logged(platform, service):
        routed.setdefault(row["unit"], set()).add(row["routed"])
    assert set(routed) == {row["depot"] for row in light}
    assert all(len(variants) == 1 for variants in routed.values())


def test_a_new_release_is_served_and_a_rolled_back_one_is_not(platform, service):
    champion = platform.releases.state().champion
    model, version, _ = plant_failing_model(platform.models, champion.model, "weight")
    light = {**requests(1)[0], "weight": 1.0}
    canary(platform, model, version, share=0.999999)
    service.refresh()
    assert service.predict(json.dumps(light).encode())["model_version"] == 2
    roll_back(platform.release_target, Actor("tester", NOW), "bad")
    service.refresh()
    assert service.predict(json.dumps(light).encode())["model_version"] == 1
    canary(platform, model, version)
    promote(platform.release_target, Actor("tester", NOW), "after all")
    service.refresh()
    assert service.predict(json.dumps(light).encode())["model_version"] == 2


def test_a_tampered_challenger_is_not_served_and_the_champion_goes_on(platform, service):
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    canary(platform, model, version)
    path = platform.home / "store/models" / model / "model.onnx"
    sound = path.read_bytes()
    path.write_bytes(sound + b"\0")
    for _ in range(3):
        service.refresh()
    assert service.release.served_challenger is None
    assert "refused_releases_total 1.0" in service.metrics.text().decode(), "told once, not at every poll"
    assert service.predict(json.dumps(requests(1)[0]).encode())["model_version"] == 1
    path.write_bytes(sound)
    service.refresh()
    assert service.release.served_challenger.variant.version == version


def test_a_champion_that_was_tampered_with_leaves_the_release_before_it(platform, service):
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    canary(platform, model, version)
    promote(platform.release_target, Actor("tester", NOW), "good")
    path = platform.home / "store/models" / model / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    before = service.release
    service.refresh()
    assert service.release is before
    writer = LogWriter(platform.objects, "dev", 60, 100)
    restarted = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    restarted.refresh()
    with pytest.raises(NoRelease, match=r"cannot be loaded: model.onnx of model .* was tampered with"):
        restarted.predict(body(requests(1)))
    writer.close()


def test_a_store_that_fails_ends_no_polling(platform, service, monkeypatch):
    def fails(*_):
        raise OSError("the store is away")

    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    canary(platform, model, version)
    real = platform.releases.latest
    monkeypatch.setattr(platform.releases, "latest", fails)
    service.refresh()
    monkeypatch.setattr(platform.releases, "latest", real)
    service.refresh()
    assert service.release.served_challenger.variant.version == version


def test_a_model_that_contradicts_its_manifest_is_not_served(platform):
    champion = platform.models.versions()[1]
    manifest = platform.models.manifest(champion)
    wrong = manifest.model_copy(update={"example": manifest.example.model_copy(update={"prediction": 0.123})})
    files = {name: platform.models.file(champion, name) for name in manifest.files}
    digest, version = platform.models.put(wrong, files)
    with pytest.raises(UserError, match="cannot be trusted"):
        ServedModel(Variant(model=digest, version=version), platform.models, platform.problem, platform.online)


def test_a_model_without_definitions_is_served_by_its_own_only(platform):
    champion = platform.models.versions()[1]
    manifest = platform.models.manifest(champion)
    bare = manifest.feature_versions.model_copy(update={"module": ""})
    files = {name: platform.models.file(champion, name) for name in manifest.files}
    digest, version = platform.models.put(manifest.model_copy(update={"feature_versions": bare}), files)
    assert ServedModel(
        Variant(model=digest, version=version), platform.models, platform.problem, platform.online
    ).problem.views
    versions = bare.model_copy(update={"views": {**bare.views, "queue": "other"}})
    digest, version = platform.models.put(manifest.model_copy(update={"feature_versions": versions}), files)
    with pytest.raises(UserError, match="it carries no feature definitions, and those of today are others"):
        ServedModel(Variant(model=digest, version=version), platform.models, platform.problem, platform.online)


def test_what_is_served_is_what_training_saw(platform, service):
    """The served features of a request, read back from the log, are the offline ones."""
    from pipelines.feature.offline import with_features

    moved = parcels.read("parcels", NOW, NOW + timedelta(days=1)).slice(0, 1)
    row = {**moved.to_pylist()[0], "asked_at": NOW.isoformat()}
    service.predict(json.dumps(row).encode())
    service.log.flush()
    logged = LogReader(platform.objects, "dev").read(NOW, NOW + timedelta(days=1)).to_pylist()[0]
    at_now = moved.set_column(1, "asked_at", [[NOW]]).cast(moved.schema)
    offline = with_features(platform.problem, platform.tables, {}, at_now).to_pylist()[0]
    for name in platform.problem.features:
        assert logged[f"feature_{name}"] == offline[name], name


def test_all_is_logged_while_a_challenger_serves_and_else_a_sample(platform):
    writer = LogWriter(platform.objects, "dev", flush_seconds=60, flush_rows=10_000)
    settings = Settings(log_sample=0.25, clock="requests")
    service = PredictionService(platform.problem, platform.online, platform.models, platform.releases, writer, settings)
    service.refresh()
    ids = [answer["prediction_id"] for answer in service.predict(body(requests(180)))["predictions"]]
    assert 20 < writer.pending < 80
    writer.flush()
    assert set(platform.predictions.read(NOW, NOW + timedelta(days=3))["prediction_id"].to_pylist()) < set(ids)
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    canary(platform, model, version, share=0.01)
    service.refresh()
    service.predict(body(requests(180)))
    assert writer.pending == 180
    writer.close()


def test_an_answer_that_is_not_a_number_is_the_requests_problem(service):
    service.release.served_champion.score = lambda features: np.full(len(features["weight"]), np.nan, np.float32)
    with pytest.raises(Rejected, match="predicted a value that is not a number; a value in the request may be far"):
        service.predict(body(requests(2)))
    assert service.log.pending == 0
