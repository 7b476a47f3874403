"""The monitoring of the cluster: each rule fires and is in the runbook; what it reads is really exposed."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import generate_latest

from infra.aws.components.alarm import AlarmBound
from infra.local import alertmanager, grafana, prometheus
from infra.local.rules import EXPRESSIONS, NOT_HERE, bounds, rule, rules
from infra.program import ROOT
from monitoring.alarms import Alarm, Measurements, alarms
from monitoring.measures import ALARMS
from pipelines.config import Problem
from pipelines.contracts.rendered import Rendered
from pipelines.entrypoints.watch.app import WatchApp
from pipelines.entrypoints.watch.metrics import WatchedStores
from pipelines.monitor import MonitorReport
from pipelines.orchestration.catalog import PIPELINES
from tests.conftest import NOW, PROBLEMS, make_platform
from tests.infra.environments import environment, of
from tests.infra.locally import objects, plan

pytestmark = pytest.mark.infra

METRIC = re.compile(r"([a-z_:][a-z0-9_:]*)\{")
HEADINGS = set(re.findall(r"^### (\S+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))


def names():
    return plan().names


def stated():
    return plan().rendered


def found():
    return [one for group in rules(names(), stated())["groups"] for one in group["rules"]]


def tool(name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not on the path: the Debian packages prometheus and prometheus-alertmanager have it")
    return name


def test_every_alarm_on_aws_has_a_local_rule_with_the_same_bound():
    here = {bound.name: bound for group in bounds(names(), stated()).values() for bound in group}
    for alarm in of(environment("prod"), "MetricAlarm"):
        if alarm.name in NOT_HERE or alarm.name in ALARMS or alarm.name.startswith("failed-"):
            continue  # what the environments of these tests render
        bound = here[alarm.name]
        assert (bound.threshold, bound.minutes * 60) == (alarm.props["threshold"], alarm.props["period"])
        assert alarm.props["alarmDescription"].startswith(bound.meaning)
    assert {f"failed-{part.replace('_', '-')}" for part in stated().pipelines} <= here.keys()


def test_an_alarm_that_the_project_states_is_raised_here_too():
    project = Rendered.from_json(
        json.dumps({"alarms": {"absent": {
            "metric": "absent_view_rows_total", "statistic": "Sum", "comparison": ">", "threshold": 9, "minutes": 5,
            "periods": 2, "dimensions": {"view": "v"}, "meaning": "Rows without features.",
        }}})
    )  # fmt: skip
    (one,) = next(group for group in rules(names(), project)["groups"] if group["name"] == "project")["rules"]
    assert one["expr"] == '(sum(increase(absent_view_rows_total{view="v"}[5m]))) > 9' and one["for"] == "5m"


def test_every_alarm_is_in_the_runbook():
    assert {one["alert"] for one in found()} <= HEADINGS


def exposed(folder):
    """Return the names of every metric that the serving app, the watch and Prometheus itself expose."""
    from pipelines.serving.metrics import ServingMetrics

    platform = make_platform(folder)
    measured = Measurements(
        as_of=NOW, model="m", version=1, quality={"a": 1}, drift={"a": 1}, missing={"a": 1}, coverage=1
    )
    raised = Alarm(name="drift", reason="moved", value=1.0, retrain=True)
    report = MonitorReport(measured=measured, alarms=(raised,))
    platform.objects.write("monitoring/dev/2024.json", report.to_json())
    stores = WatchedStores(platform.objects, platform.events, "dev", lambda: NOW)
    app = WatchApp(stores, platform.events, platform.objects, "dev", "token", lambda: None)
    registries = (ServingMetrics().registry, app._registry, stores.read())
    lines = [line for registry in registries for line in generate_latest(registry).decode().splitlines()]
    families = re.findall(r"^# TYPE (\S+) (\S+)$", "\n".join(lines), re.MULTILINE)
    histograms = {
        f"{name}{part}" for name, kind in families if kind == "histogram" for part in ("_bucket", "_count", "_sum")
    }
    return {name for name, _ in families} | histograms | {"up"}


def test_every_metric_that_a_rule_or_a_panel_reads_is_exposed(tmp_path):
    known = exposed(tmp_path)
    dashboards = grafana.dashboards(names(), stated())
    panels = [target["expr"] for one in dashboards.values() for panel in one["panels"] for target in panel["targets"]]
    read = {expression: set(METRIC.findall(expression)) for expression in [*panels, *(one["expr"] for one in found())]}
    assert all(read.values()), "each metric has a selector in braces, by which it is found here"
    assert {metric for metrics in read.values() for metric in metrics} <= known


def test_the_rules_and_the_configuration_are_valid_for_prometheus(tmp_path):
    for name, text in prometheus.files(names(), stated()).items():
        (tmp_path / name).write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    done = subprocess.run(
        [tool("promtool"), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(found())} rules found" in done.stdout


def test_a_rule_that_prometheus_cannot_read_is_found(tmp_path):
    broken = rule(AlarmBound("endpoint-errors", "n", "m", {}, "Sum", ">", 1, 1, "x"), names(), stated())
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "g", "rules": [{**broken, "expr": "sum(("}]}]})
    )
    done = subprocess.run(
        [tool("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


FIRES = {
    # alarm: series that make it fire, by metric with labels; every minute a value, for as long as it takes
    "endpoint-errors": {'refused_requests_total{job="serving",status="500"}': "0+60x20", 'invocation_seconds_count{job="serving"}': "0+600x20"},
    "endpoint-latency": {
        'invocation_seconds_bucket{job="serving",le="1.0"}': "0+60x20", 'invocation_seconds_bucket{job="serving",le="2.5"}': "0+120x20",
        'invocation_seconds_bucket{job="serving",le="+Inf"}': "0+120x20",
    },
    "endpoint-refused": {'release_refused{job="serving"}': "1x20"},
    "endpoint-missing": {'up{job="serving"}': "0x20"},
    "tick-errors": {'release_ticks_total{outcome="failed"}': "0+1x20", 'release_ticks_total{outcome="done"}': "0x20"},
    "tick-missing": {'release_ticks_total{outcome="done"}': "7x20"},
    "events-dead": {'queue_messages{state="dead"}': "1x20"},
    "events-waiting": {"queue_waiting_seconds": "21601x20"},
    "performance": {'alarm_raised{alarm="performance"}': "1x20"},
    "data": {'alarm_raised{alarm="data"}': "1x20"},
    "silence": {'alarm_raised{alarm="silence"}': "1x20"},
    "drift": {'alarm_raised{alarm="drift"}': "1x20"},
    "label_coverage": {'alarm_raised{alarm="label_coverage"}': "1x20"},
    **{f"failed-{part.replace('_', '-')}": {f'run_failed{{pipeline="{part}"}}': "1x20"} for part in PIPELINES},
}  # fmt: skip
QUIET = {
    'refused_requests_total{job="serving",status="500"}': "0+1x20", 'refused_requests_total{job="serving",status="400"}': "0+600x20",
    'invocation_seconds_count{job="serving"}': "0+600x20", 'invocation_seconds_bucket{job="serving",le="1.0"}': "0+600x20",
    'invocation_seconds_bucket{job="serving",le="+Inf"}': "0+601x20", 'up{job="serving"}': "1x20",
    'release_ticks_total{outcome="done"}': "0+1x20", 'release_ticks_total{outcome="failed"}': "0x20",
    'queue_messages{state="dead"}': "0x20", 'queue_messages{state="waiting"}': "5x20", "queue_waiting_seconds": "21599x20",
    'release_refused{job="serving"}': "0x20", 'run_failed{pipeline="training"}': "0x20", **{f'alarm_raised{{alarm="{name}"}}': "0x20" for name in ALARMS},
}  # fmt: skip


def evaluated(folder, series, expected):
    """Have promtool evaluate the rules on series for 20 minutes, and say what is not as expected."""
    (folder / "rules.yml").write_text(prometheus.files(names(), stated())["rules.yml"])
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "18m", "alertname": one["alert"], "exp_alerts": expected.get(one["alert"], [])} for one in found()],
    }  # fmt: skip
    (folder / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]})
    )
    return subprocess.run(
        [tool("promtool"), "test", "rules", folder / "test.yml"], capture_output=True, text=True, check=False
    )


def test_there_is_a_case_for_each_alarm():
    assert {one["alert"] for one in found()} == FIRES.keys()
    assert EXPRESSIONS.keys() <= FIRES.keys()


@pytest.mark.parametrize("alarm", FIRES)
def test_each_alarm_fires(tmp_path, alarm):
    done = evaluated(tmp_path, {**QUIET, **FIRES[alarm]}, {})
    said = done.stdout + done.stderr
    assert done.returncode != 0, "no alarm fired"
    assert f'alertname="{alarm}"' in said
    others = set(re.findall(r'alertname="([\w-]+)"', said)) - {alarm}
    assert others == set()


def test_none_fires_in_quiet_times_with_bad_requests_and_a_busy_queue(tmp_path):
    done = evaluated(tmp_path, QUIET, {})
    assert done.returncode == 0, done.stdout + done.stderr


def test_of_an_app_that_nobody_scrapes_its_absence_is_reported(tmp_path):
    done = evaluated(tmp_path, {}, {})
    assert set(re.findall(r'alertname="([\w-]+)"', done.stdout + done.stderr)) == {"endpoint-missing", "tick-missing"}


def test_the_alarms_that_ask_for_training_are_those_of_the_monitors():
    config = Problem.load(PROBLEMS[0]).config
    bad = dict.fromkeys(config.monitoring.performance, float("inf"))
    measured = Measurements(
        as_of=NOW, model="m", version=1, predictions=10**6, labels=10**6, coverage=0.0, quality=bad, drift={"a": 9.0}
    )
    asks = {one.name.partition(".")[0] for one in alarms(config, measured) if one.retrain}
    assert asks == {one["alert"] for one in found() if one["labels"]["retrain"] == "true"} != set()


def test_alertmanager_calls_the_watch_for_what_it_can_do_something_about(tmp_path):
    (tmp_path / "token").write_text("secret")
    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager.files(str(tmp_path))["alertmanager.yml"])
    amtool = tool("amtool")
    done = subprocess.run([amtool, "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for labels, receiver in (
        ({"alertname": "drift", "retrain": "true"}, "watch"),
        ({"alertname": "label_coverage", "retrain": "false"}, "people"),
        ({"alertname": "endpoint-errors"}, "watch"),
        ({"alertname": "events-dead"}, "people"),
    ):
        given = [f"{name}={value}" for name, value in labels.items()]
        command = [amtool, "config", "routes", "test", f"--config.file={file}", *given]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == receiver


def test_alertmanager_reads_the_token_from_a_file_and_holds_none():
    text = objects()["ConfigMap", "alertmanager"]["data"]["alertmanager.yml"]
    call = yaml.safe_load(text)["receivers"][1]["webhook_configs"][0]
    assert call["http_config"] == {"authorization": {"type": "Bearer", "credentials_file": "/etc/alerts/token"}}
    volumes = objects()["Deployment", "alertmanager"]["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "alerts", "defaultMode": 0o440} in [one.get("secret") for one in volumes]


@pytest.mark.parametrize("name", ["overview", "alarms"])
def test_a_dashboard_is_what_the_schema_of_grafana_knows(name):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    made = grafana.dashboards(names(), stated())[name]
    understood = json.loads(json.dumps(Dashboard.from_json(made), cls=JSONEncoder))
    assert lost(made, understood) == []  # what the schema does not know is not kept
    assert lost({**made, "refersh": "1m"}, understood) == ["refersh"]
    assert len(made["uid"]) <= 40 and made["panels"]


def lost(made, understood, path=""):
    """Return the paths of what is in one document and not in the other."""
    if isinstance(made, dict):
        return [
            gone
            for key, value in made.items()
            for gone in ([f"{path}{key}"] if key not in understood and value is not None else lost(value, understood.get(key), f"{path}{key}."))
        ]  # fmt: skip
    if isinstance(made, list):
        return [gone for one, other in zip(made, understood, strict=True) for gone in lost(one, other, path)]
    return [] if made == understood else [path]


def test_no_two_panels_lie_on_each_other():
    for dashboard in grafana.dashboards(names(), stated()).values():
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
