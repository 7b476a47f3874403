"""The pages of a monitor's run: what they say, that they need no network, and what is missing where data is."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

from monitoring import evidently_page, monitor_page
from monitoring.alarms import Alarm, Measurements
from pipelines.config import CATEGORICAL, NUMERIC, Task, UserError
from pipelines.monitor import MonitorParams
from pipelines.reporting.monitor_pages import write_pages
from tests.conftest import NOW
from tests.unit.monitor.test_monitor import DAY, served  # noqa: F401  (a fixture)

FEATURES = {"weight": NUMERIC, "depot": CATEGORICAL}


def frame(rows, task=Task.BINARY, moved=0.0, seed=0):
    random = np.random.default_rng(seed)
    weight = random.normal(moved, 1, rows)
    chance = 1 / (1 + np.exp(-weight))
    label = (random.random(rows) < chance).astype(float) if task is Task.BINARY else weight + random.normal(0, 1, rows)
    label[::5] = np.nan
    prediction = chance if task is Task.BINARY else weight
    return pd.DataFrame(
        {"weight": weight, "depot": random.choice(["a", "b"], rows), "prediction": prediction, "label": label}
    )


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_evidently_finds_what_moved_and_judges_the_labels(task):
    made = evidently_page.pages(frame(800, task, moved=1.0), frame(800, task, seed=1), FEATURES, task)
    assert made.keys() == {"data", "quality"}
    assert "weight" in made["data"]
    assert "depot" in made["data"]
    for text in made.values():
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', text), "a page needs no network"
    assert ("Precision" if task is Task.BINARY else "MAE") in made["quality"]


def test_without_labels_of_both_kinds_there_is_no_page_on_quality():
    assert evidently_page.pages(frame(200).assign(label=np.nan), frame(200), FEATURES, Task.BINARY).keys() == {"data"}
    assert evidently_page.pages(frame(200).assign(label=1.0), frame(200), FEATURES, Task.BINARY).keys() == {"data"}


def test_no_rows_are_refused_and_so_is_a_missing_evidently(monkeypatch):
    with pytest.raises(UserError, match="has no row"):
        evidently_page.pages(frame(0), frame(10), FEATURES, Task.BINARY)
    monkeypatch.setitem(sys.modules, "evidently", None)
    with pytest.raises(UserError, match="--extra monitoring"):
        evidently_page.pages(frame(10), frame(10), FEATURES, Task.BINARY)


def test_the_pages_of_a_run_say_what_the_monitor_measured(served, tmp_path):  # noqa: F811
    report = served.run("monitor", MonitorParams(as_of=NOW + 2 * DAY), "paged")
    index, *others = write_pages(served, "paged", tmp_path / "pages")
    assert {path.name for path in others} == {"data.html", "quality.html"}
    text = index.read_text()
    assert "No alarm" in text
    assert f"v1: {report.measured.predictions:,} predictions" in text
    for name, drift in report.measured.drift.items():
        assert re.search(rf"<td[^>]*>{name}</td>.*{drift:.3f}", text)
    for other in others:
        assert f'href="{other.name}"' in text
    assert "https://" not in text


def test_what_a_page_says_is_text_and_no_markup(served):  # noqa: F811
    config, reason = served.problem.config, "values <script>alert(1)</script> & 'more'"
    measured = Measurements(as_of=NOW, model="m", version=1, drift={"<b>bold</b>": 0.1})
    text = monitor_page.render(
        config, "dev", measured, [Alarm(name="data.unseen", reason=reason, value=1, retrain=False)], []
    )
    assert "<script>" not in text
    assert "<b>bold" not in text
    assert "values &lt;script&gt;" in text


def test_before_the_first_release_there_is_one_page_that_says_so(new_platform, tmp_path):
    platform = new_platform()
    platform.run("monitor", MonitorParams(as_of=NOW), "early")
    (index,) = write_pages(platform, "early", tmp_path)
    assert "Nothing is released yet" in index.read_text()
