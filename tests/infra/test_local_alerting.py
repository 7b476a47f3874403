"""From an alarm to the event that asks for training, by the real Prometheus and Alertmanager with these configurations."""

import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
import urllib3

from infra.local import alertmanager, prometheus
from monitoring.alarms import Alarm, Measurements
from monitoring.measures import ALARMS
from pipelines.monitor import MonitorReport, Trigger
from tests.cloud.emulator import free_port
from tests.conftest import NOW, PROBLEMS, ROOT, make_platform
from tests.infra.locally import plan

pytestmark = [
    pytest.mark.infra,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
        reason="the Debian packages prometheus and prometheus-alertmanager are not installed",
    ),
]


@pytest.fixture
def start(tmp_path):
    """Start programs that end with the test."""
    with ExitStack() as running:

        def one(*command, **environ):
            log = running.enter_context((tmp_path / f"{len(command)}{command[1][-9:].replace('/', '')}.log").open("w"))
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environ or None)
            running.callback(process.wait, 30)
            running.callback(process.terminate)

        yield one


def until(what, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)
    return found


def test_drift_becomes_one_event_for_continuous_training(tmp_path, start):
    platform = make_platform(tmp_path / "home")
    watch, prom, alert = free_port(), free_port(), free_port()
    (tmp_path / "token").write_text("a-token-of-this-test")
    names, rendered = plan().names, plan().rendered
    for name, text in prometheus.files(names, rendered).items():
        places = {
            "/etc/prometheus": str(tmp_path), "alertmanager:9093": f"localhost:{alert}",
            "watch:8000": f"localhost:{watch}", "15s": "1s", f"localhost:{prometheus.PORT}": f"localhost:{prom}",
        }  # fmt: skip
        (tmp_path / name).write_text(re.sub("|".join(places), lambda found, here=places: here[found[0]], text))
    calls = alertmanager.files(str(tmp_path), f"http://localhost:{watch}/alerts")["alertmanager.yml"]
    (tmp_path / "alertmanager.yml").write_text(re.sub("group_wait: 10s", "group_wait: 1s", calls))
    environ = {"PATH": "/usr/bin:/bin", "RATCHET_HOME": str(tmp_path / "home"), "RATCHET_PROBLEM": PROBLEMS[0]}
    command = [
        sys.executable,
        "-m",
        "pipelines.entrypoints.cli",
        "watch",
        "--port",
        str(watch),
        "--token-file",
        f"{tmp_path}/token",
    ]
    start(*command, **environ)
    start(
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{prom}",
    )
    start(
        "prometheus-alertmanager", f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/alerts",
        f"--web.listen-address=127.0.0.1:{alert}", "--cluster.listen-address=",
    )  # fmt: skip
    measured = Measurements(as_of=NOW, model="m", version=1)
    raised = Alarm(name="drift", reason="moved", value=1.0, retrain=True)
    platform.objects.write("monitoring/dev/2024.json", MonitorReport(measured=measured, alarms=(raised,)).to_json())
    (message,) = until(platform.events.receive)
    trigger = Trigger.from_json(message.body)
    assert (trigger.kind, trigger.reason) == ("alert", f"drift: {ALARMS['drift']}")
    alarms = urllib3.request("GET", f"http://localhost:{alert}/api/v2/alerts").json()
    assert {"drift", "endpoint-missing"} & {one["labels"]["alertname"] for one in alarms} >= {"drift"}
    time.sleep(3)
    assert len(platform.events.receive()) == 1
