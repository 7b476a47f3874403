"""CloudWatch has what Prometheus has, by the same names, added up and never twice."""

from datetime import UTC, datetime, timedelta
from math import nan

import pytest

from monitoring.alarms import Alarm, Measurements
from monitoring.measures import Measure, measures
from pipelines.adapters.aws.metrics import CloudWatchGauges, CloudWatchMetrics
from pipelines.serving.metrics import ServingMetrics
from pipelines.storage.ports import Unavailable
from tests.cloud.emulator import Fault, misbehave
from tests.conftest import NOW
from tests.contract.conftest import connected
from tests.unit.contracts.test_rendered import RENDERED

pytestmark = pytest.mark.cloud


@pytest.fixture
def sending(made):
    metrics, name = ServingMetrics(), "contract-metrics"
    sender = CloudWatchMetrics(connected(made, "cloudwatch", 2), name, metrics.registry, seconds=3600)
    yield metrics, sender, lambda metric, **dimensions: added_up(made, name, metric, dimensions)
    sender.close()


def added_up(made, namespace, metric, dimensions):
    now = datetime.now(UTC)
    answer = made.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


def test_counters_add_up_under_the_names_that_prometheus_reads(sending):
    metrics, sender, total = sending
    metrics.predictions.labels("champion", "1").inc(5)
    metrics.seconds.observe(0.25)
    sender.send()
    metrics.predictions.labels("champion", "1").inc(2)
    sender.send()
    sender.send()
    assert total("predictions_total", variant="champion", version="1") == 7
    assert total("invocation_seconds_count") == 1
    assert total("invocation_seconds_sum") == 0.25
    names = {line.split("{")[0].split(" ")[0] for line in metrics.text().decode().splitlines() if line[0] != "#"}
    assert {"predictions_total", "invocation_seconds_count", "invocation_seconds_sum"} <= names


def test_what_could_not_be_sent_is_part_of_the_next(sending, emulator):
    metrics, sender, total = sending
    metrics.fallbacks.inc(3)
    misbehave(emulator, Fault("hangs_up", "", times=100))
    sender._try_to_send()
    misbehave(emulator)
    metrics.fallbacks.inc(1)
    sender.send()
    assert total("challenger_errors_total") == 4


def test_what_is_left_is_sent_when_the_app_stops(sending):
    metrics, sender, total = sending
    metrics.refused.labels("429").inc()
    sender.close()
    assert total("refused_requests_total", status="429") == 1


def test_the_monitors_metrics_are_those_of_the_alarms_that_are_provisioned(new_cloud, made):
    """Of each alarm on what the pipelines measure there is the very metric, and it is above its bound when raised."""
    cloud = new_cloud()
    measured = Measurements(as_of=NOW, model="m", version=1, predictions=9, coverage=0.5, quality={"bias": nan})
    raised = [Alarm(name="label_coverage", reason="few", value=0.5, retrain=False)]
    cloud.metrics_sink.send("monitor", measures(measured, raised))
    namespace, client = cloud.profile.stack.metrics, made.client("cloudwatch")
    metrics = client.list_metrics(Namespace=namespace)["Metrics"]
    there = {(one["MetricName"], *((each["Name"], each["Value"]) for each in one["Dimensions"])) for one in metrics}
    assert ("monitored_predictions",) in there and ("label_coverage",) in there
    assert not any(name == "model_quality" for name, *_ in there)  # a quality that cannot be told is not sent
    for name, alarm in RENDERED.alarms.items():
        assert (alarm.metric, *alarm.dimensions.items()) in there
        value = added_up(made, namespace, alarm.metric, alarm.dimensions)
        assert (value >= alarm.threshold) == (name == "label_coverage")


def test_measures_that_cannot_be_sent_are_an_error_of_the_run(made, emulator):
    misbehave(emulator, Fault("hangs_up", "", times=100))
    with pytest.raises(Unavailable, match="CloudWatch cannot be reached"):
        CloudWatchGauges(connected(made, "cloudwatch", 2), "n").send("monitor", [Measure("n", 1.0)])
