"""What happens where a feature view has no value: each policy, online and offline."""

import dataclasses
import json
from datetime import timedelta

import pyarrow as pa
import pytest

from pipelines.config import CATEGORICAL, NUMERIC, Problem, ServingConfig, UserError, Variant
from pipelines.feature.missing import column_with_default, with_defaults
from pipelines.registry.scoring import columns
from pipelines.serving.model import Rejected, ServedModel
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogReader, LogWriter
from pipelines.training.extract import with_features
from pipelines.training.gates import training_serving_skew
from tests.conftest import HISTORY, NOW, PROBLEMS, learn, release
from tests.problems import parcels

ROW = parcels.read("parcels", NOW, NOW + timedelta(days=1)).to_pylist()[0]
STALE = {**ROW, "asked_at": (NOW + timedelta(days=9)).isoformat()}
DEFAULT = {"queue": {"missing": "default", "defaults": {"queue_now": 42.5}}}


def stated(views, package=PROBLEMS[0]):
    problem = Problem.load(package)
    config = problem.config.model_copy(update={"serving": ServingConfig.model_validate({"views": views})})
    return dataclasses.replace(problem, config=config)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"quue": {"missing": "reject"}}, "serving.views.quue: there is no feature view 'quue'; did you mean 'queue'?"),
        (
            {"queue": {"missing": "default", "defaults": {"queue_nwo": 1}}},
            "serving.views.queue.defaults: no feature 'queue_nwo'; did you mean 'queue_now'?",
        ),
        (
            {"queue": {"missing": "default", "defaults": {"queue_now": "long"}}},
            "serving.views.queue.defaults.queue_now: 'long' is not a number",
        ),
    ],
)
def test_a_policy_for_an_unknown_view_is_an_error_at_load(views, message):
    with pytest.raises(UserError) as error:
        _ = stated(views).views
    assert message in str(error.value)


@pytest.mark.parametrize(
    "policy", [{"missing": "default"}, {"defaults": {"queue_now": 1}}, {"missing": "drop"}, {"missing": "rejct"}]
)
def test_a_policy_says_all_that_it_needs_and_no_more(policy):
    with pytest.raises(ValueError, match="missing"):
        ServingConfig.model_validate({"views": {"queue": policy}})


def test_a_view_that_rejects_cannot_be_done_without():
    policy = {"missing": "reject", "unreachable": "as-missing"}
    with pytest.raises(ValueError, match="nothing to answer with"):
        ServingConfig.model_validate({"views": {"queue": policy}})


@pytest.mark.parametrize("default", [7.0, "none"])
def test_a_default_replaces_a_missing_value_online_and_offline(default):
    kind = NUMERIC if isinstance(default, float) else CATEGORICAL
    given = pa.chunked_array([[1.5, None, float("nan")] if kind is NUMERIC else ["a", None, ""]])
    online = with_defaults(columns(pa.table({"x": given}), {"x": kind}), {"x": default})["x"]
    offline = columns(pa.table({"x": column_with_default(given, default)}), {"x": kind})["x"]
    assert online.tolist() == offline.tolist() == [given[0].as_py(), default, default]
    assert online.dtype == offline.dtype
    whole = pa.chunked_array([pa.array([1, None], pa.int64())])
    assert columns(pa.table({"x": column_with_default(whole, 0.5)}), {"x": NUMERIC})["x"].tolist() == [1.0, 0.5]


@pytest.fixture
def platform(new_platform):
    """Learned with a default for one view: the first requests of the history have no queue yet."""
    made = new_platform()
    made.__dict__["problem"] = stated(DEFAULT)
    release(made, learn(made))
    return made


@pytest.fixture
def ask(platform):
    writer = LogWriter(platform.objects, "dev", 60, 10_000)

    def asked(problem, row):
        service = PredictionService(
            problem, platform.online, platform.models, platform.releases, writer, platform.settings
        )
        service.refresh()
        service.predict(json.dumps({"instances": [ROW, row]}, default=lambda time: time.isoformat()).encode())
        writer.flush()
        logged = LogReader(platform.objects, "dev").read(NOW, NOW + timedelta(days=20)).to_pylist()[1]
        return logged, service.metrics.text().decode()

    yield asked
    writer.close()


def test_a_default_is_what_training_serving_and_the_drift_reference_have(platform, ask):
    logged, metrics = ask(platform.problem, STALE)
    assert logged["feature_queue_now"] == 42.5
    assert logged["feature_queue_mean"] is None, "the other view imputes"
    assert 'absent_view_rows_total{kind="stale",view="queue"} 1.0' in metrics
    assert 'absent_view_rows_total{kind="stale",view="queue_trend"} 1.0' in metrics
    requests = parcels.read("parcels", HISTORY, HISTORY + timedelta(minutes=10))
    frame = with_features(platform.problem, platform.tables, {}, requests)
    assert set(frame["queue_now"].to_pylist()) == {42.5}, "no scan has reached us by then"
    assert frame["queue_mean"].null_count == frame.num_rows


def test_the_skew_gate_passes_with_defaults_and_fails_where_they_differ(platform, monkeypatch):
    requests = parcels.read("parcels", NOW, NOW + timedelta(days=1)).slice(0, 10)
    views = [view for view in platform.problem.views if view.name == "queue"]
    stale = {
        views[0].versioned_name: NOW + timedelta(days=9),
        platform.problem.views[1].versioned_name: NOW + timedelta(days=9),
    }
    platform.online.write({}, stale)  # as if no scan came for nine days: every value is past its time to live
    passed = training_serving_skew(platform.problem, platform.tables, platform.online, requests)
    assert passed.passed, passed.reason
    monkeypatch.setattr("pipelines.feature.offline.column_with_default", lambda values, _: values)
    failed = training_serving_skew(platform.problem, platform.tables, platform.online, requests)
    assert (failed.passed, "queue_now differs for 100.0%" in failed.reason) == (False, True)


def test_the_skew_gate_rejects_no_request(platform):
    requests = parcels.read("parcels", NOW, NOW + timedelta(days=1)).slice(0, 10)
    problem = stated({"queue": {"missing": "reject"}})
    platform.online.write({}, {view.versioned_name: NOW + timedelta(days=9) for view in problem.views})
    assert training_serving_skew(problem, platform.tables, platform.online, requests).passed


def test_a_model_is_served_with_the_default_that_it_was_trained_with(platform):
    variant = Variant(model=platform.models.versions()[1], version=1)
    trained_with = platform.problem.config.serving.defaults
    assert trained_with
    for other in ({}, {"queue": {"missing": "default", "defaults": {"queue_now": 1}}}):
        model = ServedModel(variant, platform.models, stated(other), platform.online)
        assert model.problem.config.serving.defaults == model.find.defaults == trained_with


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (STALE, "depot 'berlin' is known to it, by values older than its ttl"),
        ({**ROW, "depot": "porto"}, "depot 'porto' is unknown to it"),
    ],
)
def test_a_rejected_request_names_the_view_the_entity_and_why(platform, ask, row, why):
    row = {**row, "depot": "berlin"} if row is STALE else row
    problem = stated({**DEFAULT, "queue_trend": {"missing": "reject"}})
    view = next(view for view in problem.views if view.name == "queue_trend")
    if row["depot"] == "porto":
        with platform.online._connection as connection:
            connection.execute("DELETE FROM latest WHERE view = ? AND entity = 'porto'", (view.versioned_name,))
    first = {**ROW, "depot": "lyon"}
    service = PredictionService(
        problem, platform.online, platform.models, platform.releases, LogWriter(platform.objects, "x", 60, 9)
    )
    service.refresh()
    with pytest.raises(Rejected) as error:
        service.predict(json.dumps({"instances": [first, row]}, default=lambda time: time.isoformat()).encode())
    assert str(error.value) == f"row 1: the feature view 'queue_trend' has no value: {why}"
    kind = "stale" if row is not None and "older" in why else "missing"
    assert f'absent_view_rows_total{{kind="{kind}",view="queue_trend"}} 1.0' in service.metrics.text().decode()
    assert service.log.pending == 0
    service.log.close()
