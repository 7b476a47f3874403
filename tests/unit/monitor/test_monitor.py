"""The monitor pipeline on predictions that were really served, with labels as they come."""

import dataclasses
import json
from datetime import timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.alarms import Alarm, Measurements
from monitoring.measures import measures
from pipelines.contracts import keys
from pipelines.feature.labels import labelled_predictions
from pipelines.monitor import MonitorParams, MonitorReport
from pipelines.monitor.alarm import alarm
from pipelines.monitor.due import due
from pipelines.monitor.measure import join_labels, measure
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import NOW, learn, release
from tests.problems import parcels

DAY = timedelta(days=1)
KINDS = ("performance", "data", "silence", "drift", "label_coverage")


@pytest.fixture(scope="module")
def served(tmp_path_factory, mlflow_database):
    """A platform that answered two days of requests, all labels ingested."""
    import shutil

    from pipelines.feature import FeatureParams
    from tests.conftest import make_platform

    home = tmp_path_factory.mktemp("served")
    shutil.copytree(mlflow_database, home / "mlflow")
    platform = make_platform(home)
    release(platform, learn(platform))
    platform.run("feature", FeatureParams(start=NOW, end=NOW + 3 * DAY, online_as_of=NOW))
    writer = LogWriter(platform.objects, "dev", 60, 100_000)
    service = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    service.refresh()
    rows = parcels.read("parcels", NOW, NOW + 2 * DAY).to_pylist()
    encoded = [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
    service.predict(json.dumps({"instances": encoded}).encode())
    service.predict(json.dumps({"instances": encoded[:5]}).encode())  # asked twice
    writer.close()
    return platform


def test_labels_join_as_they_come_and_each_prediction_gets_its_own(served):
    requests = parcels.read("parcels", NOW, NOW + 2 * DAY)
    truth = {row["parcel_id"]: row for row in parcels.read("deliveries", NOW, NOW + 3 * DAY).to_pylist()}
    known = []
    for moment in (NOW + timedelta(hours=1), NOW + DAY, NOW + 2 * DAY):
        joined = labelled_predictions(served.problem, served.tables, served.predictions, NOW, moment).to_pylist()
        for row in joined:
            delivery = truth.get(row["key"])
            expected = delivery["minutes"] > 60 if delivery and delivery["delivered_at"] < moment else None
            assert row["label"] == expected
        known.append(sum(row["label"] is not None for row in joined))
    assert 0 < known[0] < known[1] < known[2]
    joined = labelled_predictions(served.problem, served.tables, served.predictions, NOW, NOW + 3 * DAY)
    assert joined.num_rows == requests.num_rows + 5
    assert len(set(joined["prediction_id"].to_pylist())) == joined.num_rows


def test_a_calm_window_is_measured_and_raises_nothing(served):
    report: MonitorReport = served.run("monitor", MonitorParams(as_of=NOW + 2 * DAY), "calm")
    measured = report.measured
    assert report.alarms == ()
    assert (measured.version, measured.predictions) == (1, parcels.read("parcels", NOW, NOW + 2 * DAY).num_rows + 5)
    assert measured.coverage > 0.95
    assert measured.quality["roc_auc"] > 0.6  # most features are past their life: nothing was materialised meanwhile
    assert set(measured.drift) == set(served.problem.features)
    assert served.objects.read(keys.monitor_report("dev", NOW + 2 * DAY)) == report.to_json()
    assert shown(served)["alarm_raised"] == dict.fromkeys(KINDS, 0)
    assert shown(served)["feature_drift"] == measured.drift
    assert shown(served)["monitored_predictions"] == {None: measured.predictions}


def test_the_skew_of_the_clients_clocks_is_measured(served):
    params = MonitorParams(as_of=NOW + 2 * DAY)
    answered = join_labels(params, served.problem, served.tables, served.predictions, served.releases)
    assert measure(params, served.problem, served.models, served.releases, answered).clock_skew == 0
    place, rows = answered.predictions.schema.get_field_index("event_time"), answered.predictions
    ahead = pc.add(rows["event_time"], pa.scalar(timedelta(hours=1), pa.duration("us")))
    answered = answered._replace(predictions=rows.set_column(place, "event_time", ahead))
    assert measure(params, served.problem, served.models, served.releases, answered).clock_skew == 3600


def shown(platform):
    """What Prometheus would read, by metric and the value of its label."""
    found = {}
    for family in text_string_to_metric_families((platform.home / "metrics/monitor.prom").read_text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[next(iter(sample.labels.values()), None)] = sample.value
    return found


def test_labels_that_stay_away_raise_an_alarm_that_asks_for_no_training(served, monkeypatch):
    from pipelines.monitor import measure

    def without_labels(*arguments):
        joined = labelled_predictions(*arguments)
        return joined.set_column(joined.schema.get_field_index("label"), "label", [[None] * joined.num_rows])

    monkeypatch.setattr(measure, "labelled_predictions", without_labels)
    report = served.run("monitor", MonitorParams(as_of=NOW + 2 * DAY), "unlabelled")
    assert [alarm.name for alarm in report.alarms] == ["label_coverage"]
    assert served.events.receive() == []
    assert shown(served)["alarm_raised"] == {**dict.fromkeys(KINDS, 0), "label_coverage": 1}
    assert "model_quality" not in shown(served)


def test_an_odd_file_in_the_log_is_named_and_the_rest_is_measured(served):
    calm = served.run("monitor", MonitorParams(as_of=NOW + 2 * DAY), "whole").measured
    odd = f"{keys.predictions('dev', NOW.date())}odd.parquet"
    served.objects.write(odd, b"PAR1 cut off")
    report = served.run("monitor", MonitorParams(as_of=NOW + 2 * DAY), "odd")
    (served.objects.root / odd).unlink()
    (alarm,) = report.alarms
    assert (alarm.name, alarm.retrain) == ("data.log", False)
    assert odd in alarm.reason
    assert report.measured.model_copy(update={"unreadable": {}}) == calm
    assert shown(served)["unreadable_log_files"] == {None: 1}


def with_limits(platform, **limits):
    """The platform's problem with other limits of continuous training."""
    config = platform.problem.config
    changed = config.continuous_training.model_copy(update=limits)
    return dataclasses.replace(platform.problem, config=config.model_copy(update={"continuous_training": changed}))


@pytest.mark.parametrize(
    ("limits", "days", "asked"),
    [
        ({}, 300, []),
        ({"every": timedelta(days=30)}, 29, []),
        ({"every": timedelta(days=30)}, 30, ["schedule"]),
        ({"new_labels": 195}, 2, ["new data"]),
        ({"new_labels": 5000}, 2, []),
        ({"new_labels": 1}, 0, []),
        ({"every": timedelta(days=1), "new_labels": 1}, 2, ["schedule", "new data"]),
    ],
)
def test_the_calendar_and_new_labels_ask_where_they_are_stated(served, limits, days, asked):
    problem = with_limits(served, **limits)
    found = list(due(problem, served.tables, served.models, NOW + days * DAY))
    assert [one.kind for one in found] == asked
    assert all("v1" in one.reason for one in found)


def test_before_there_is_a_model_the_calendar_asks_for_none(new_platform):
    platform = new_platform()
    problem = with_limits(platform, every=DAY, new_labels=1)
    assert list(due(problem, platform.tables, platform.models, NOW)) == []


def test_broken_data_silences_the_calendar(served):
    events = []
    queue = SimpleNamespace(send=events.append)
    sink = SimpleNamespace(send=lambda *_: None)
    problem, moment = with_limits(served, every=DAY), MonitorParams(as_of=NOW + 2 * DAY)
    rest = (problem, served.objects, queue, sink, served.releases, served.models, served.tables)
    calm = Measurements(as_of=moment.as_of, model="m", version=1)
    assert [one.kind for one in alarm(moment, *rest, calm).triggers] == ["schedule"]
    assert len(events) == 1
    broken = calm.model_copy(update={"unreadable": {"a.parquet": "it is empty"}})
    assert alarm(moment, *rest, broken).triggers == ()
    assert len(events) == 1


def test_a_start_without_champion_or_traffic_is_quiet(new_platform, released):
    report = new_platform().run("monitor", MonitorParams(as_of=NOW))
    assert (report.measured.model, report.alarms) == (None, ())
    report = released.run("monitor", MonitorParams(as_of=NOW))
    assert (report.measured.version, report.measured.predictions, report.alarms) == (1, 0, ())


def test_a_champion_that_nobody_asks_for_a_window_is_an_alarm(released):
    later = released.releases.latest().at + timedelta(days=8)
    (alarm,) = released.run("monitor", MonitorParams(as_of=later)).alarms
    assert (alarm.name, alarm.retrain) == ("silence", False)


def test_the_metric_of_an_alarm_stays_calm_while_data_is_broken():
    measured = Measurements(as_of=NOW, model="m", version=1, predictions=5)
    drifted = Alarm(name="drift", reason="", value=1.0, retrain=True)
    for raised, told in (([drifted], 1.0), ([drifted.model_copy(update={"retrain": False})], 0.0)):
        (measure_of,) = [one for one in measures(measured, raised) if one.labels.get("alarm") == "drift"]
        assert measure_of.value == told
