"""The watch: alerts become events once, and what Prometheus reads is what lies in the stores."""

import json
from datetime import timedelta

import pytest
from prometheus_client import generate_latest

from monitoring.alarms import Alarm, Measurements
from pipelines.config import UserError
from pipelines.contracts import keys
from pipelines.entrypoints.watch.alerts import about_release, read, send_events
from pipelines.entrypoints.watch.metrics import WatchedStores
from pipelines.monitor import MonitorReport, Trigger
from pipelines.storage.ports import Unavailable
from tests.conftest import NOW, make_platform


def alert(name="drift", fingerprint="a1", starts=NOW, status="firing", retrain="true", **labels):
    return {
        "status": status,
        "labels": {"alertname": name, "retrain": retrain, **labels},
        "annotations": {"summary": "The features have moved."},
        "startsAt": starts.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
        "generatorURL": "http://prometheus/graph",
    }


def message(*alerts):
    sent = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "watch", "alerts": list(alerts)}
    return json.dumps(sent).encode()


@pytest.fixture
def platform(tmp_path):
    return make_platform(tmp_path)


@pytest.fixture
def send(platform):
    return lambda *alerts: send_events(read(message(*alerts)), platform.events, platform.objects, "dev")


def waiting(platform):
    return [Trigger.from_json(one.body) for one in platform.events.receive()]


def test_an_alert_is_one_event_however_often_it_is_sent(platform, send):
    assert len(send(alert())) == 1
    assert send(alert(), alert()) == []
    (trigger,) = waiting(platform)
    assert trigger == Trigger(kind="alert", reason="drift: The features have moved.", at=NOW)


def test_an_alert_that_begins_anew_or_of_other_labels_is_another(platform, send):
    send(alert(), alert(starts=NOW + timedelta(hours=1)), alert("performance", "b2", alarm="performance.auc"))
    assert [one.reason.partition(":")[0] for one in waiting(platform)] == ["drift", "drift", "performance.auc"]


@pytest.mark.parametrize("one", [alert(status="resolved"), alert("endpoint-errors", retrain="false")])
def test_what_is_over_or_no_new_model_would_help_with_is_no_event(platform, send, one):
    assert send(one) == []
    assert waiting(platform) == []


def test_an_alert_is_sent_again_when_its_event_was_not(platform):
    class Down:
        def send(self, body):
            raise Unavailable("the queue does not answer")

    group = read(message(alert()))
    with pytest.raises(Unavailable):
        send_events(group, Down(), platform.objects, "dev")
    assert len(send_events(group, platform.events, platform.objects, "dev")) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Invalid JSON"),
        (b'{"version": "3", "alerts": []}', "version"),
        (message({**alert(), "startsAt": "yesterday"}), "alerts.0.startsAt"),
        (message({**alert(), "fingerprint": "../../x"}), "alerts.0.fingerprint"),
    ],
)
def test_what_is_no_message_of_alertmanager_is_refused_with_the_reason(body, said):
    with pytest.raises(UserError, match=said):
        read(body)


def test_only_alerts_of_the_serving_app_are_about_the_release():
    assert about_release(read(message(alert(), alert("endpoint-errors"))))
    assert not about_release(read(message(alert(), alert("endpoint-errors", status="resolved"))))


@pytest.fixture
def metrics(platform):
    """Read the metrics as lines, at moments a minute apart."""
    moments = (NOW + timedelta(minutes=number) for number in range(9))
    stores = WatchedStores(platform.objects, platform.events, "dev", lambda: next(moments))

    def lines():
        return [line for line in generate_latest(stores.read()).decode().splitlines() if not line.startswith("#")]

    return lines


def test_of_an_empty_environment_nothing_failed_and_nothing_was_measured(metrics):
    assert 'run_failed{pipeline="training"} 0.0' in metrics()
    assert 'queue_messages{state="waiting"} 0.0' in metrics()
    assert not [line for line in metrics() if line.startswith(("model_", "alarm_"))]


def test_the_queue_is_reported_with_how_long_it_was_never_empty(platform, metrics):
    platform.events.send(b"{}")
    assert "queue_waiting_seconds 0.0" in metrics()
    assert {'queue_messages{state="waiting"} 1.0', "queue_waiting_seconds 60.0"} <= set(metrics())
    platform.events.delete(one.receipt for one in platform.events.receive())
    assert "queue_waiting_seconds 0.0" in metrics()


def test_the_latest_look_at_the_model_is_reported_and_its_alarms_alone(platform, metrics):
    measured = Measurements(
        as_of=NOW, model="m", version=1, predictions=9, labels=5, coverage=0.5, quality={"auc": 0.7}, drift={"a": 0.3}
    )
    raised = Alarm(name="drift", reason="moved", value=1.0, retrain=True)
    for moment, alarms in ((NOW, (raised,)), (NOW + timedelta(days=1), ())):
        report = MonitorReport(measured=measured, alarms=alarms)
        platform.objects.write(keys.monitor_report("dev", moment), report.to_json())
        told = metrics()
        assert f'alarm_raised{{alarm="drift"}} {len(alarms)}.0' in told
    assert {'model_quality{metric="auc"} 0.7', 'feature_drift{feature="a"} 0.3', "label_coverage 0.5"} <= set(told)
    (moment,) = [line for line in told if line.startswith("monitored_timestamp_seconds ")]
    assert float(moment.split()[1]) == NOW.timestamp()


def test_the_latest_run_of_each_pipeline_counts(platform, metrics):
    from pipelines.training import TrainingParams

    with pytest.raises(UserError, match="there is no table"):
        platform.run("training", TrainingParams(as_of=NOW, reason="a test"), "first")
    assert {'run_failed{pipeline="training"} 1.0', 'run_failed{pipeline="feature"} 0.0'} <= set(metrics())
