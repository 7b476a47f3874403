"""Each alarm, raised and not."""

from datetime import UTC, datetime

import pytest

from monitoring.alarms import Measurements, alarms
from pipelines.config import Problem
from tests.conftest import PROBLEMS

CONFIG = Problem.load(PROBLEMS[0]).config
CALM = Measurements(
    as_of=datetime(2024, 3, 1, tzinfo=UTC),
    model="m",
    version=1,
    predictions=1500,
    labels=400,
    coverage=0.97,
    quality={"bias": 0.01},
    drift={"a": 0.1, "b": 0.3, "c": 0.0},
    missing={"a": 0.05, "b": 0.0, "c": 0.0},
    missing_rise={"a": 0.05, "b": 0.0, "c": 0.0},
    unseen_rise={"a": 0.0, "b": 0.1, "c": 0.0},
    sources={"a": "weather", "b": "weather", "c": "request"},
)


def test_calm_raises_nothing():
    assert alarms(CONFIG, CALM) == []


@pytest.mark.parametrize(
    ("change", "name", "retrain"),
    [
        ({"quality": {"bias": 0.16}}, "performance.bias", True),
        ({"quality": {"bias": -0.16}}, "performance.bias", True),
        ({"drift": {"a": 0.3, "b": 0.3, "c": 0.3}}, "drift", True),
        ({"drift": {"a": 0.3, "b": 0.3, "c": 0.0}}, "data.source", False),
        ({"missing": {"a": 1.0}, "missing_rise": {"a": 0.95}}, "data.missing", False),
        ({"unreadable": {"predictions/a.parquet": "it is empty"}}, "data.log", False),
        ({"unseen_rise": {"b": 0.99}}, "data.unseen", False),
        ({"predictions": 0, "labels": 0, "silent": True}, "silence", False),
        ({"coverage": 0.5}, "label_coverage", False),
    ],
)
def test_each_bound_that_is_left_raises_its_alarm(change, name, retrain):
    (alarm,) = alarms(CONFIG, CALM.model_copy(update=change))
    assert (alarm.name, alarm.retrain) == (name, retrain)


def test_broken_data_asks_for_no_training_whatever_else_is_wrong():
    wrong = {"quality": {"bias": 0.9}, "drift": {"a": 0.9, "b": 0.9, "c": 0.9}, "missing_rise": {"a": 0.9}}
    found = alarms(CONFIG, CALM.model_copy(update=wrong))
    assert [alarm.name for alarm in found] == ["data.missing", "performance.bias", "drift"]
    assert not any(alarm.retrain for alarm in found)


def test_what_is_missing_is_told_by_source():
    risen = {"missing": dict.fromkeys("abc", 1.0), "missing_rise": dict.fromkeys("abc", 1.0)}
    (alarm,) = alarms(CONFIG, CALM.model_copy(update=risen))
    assert "weather: a 100%, b 100%; request: c 100%" in alarm.reason


def test_few_labels_say_nothing_about_quality():
    assert alarms(CONFIG, CALM.model_copy(update={"labels": 199, "quality": {"bias": 0.9}})) == []


def test_few_predictions_say_nothing_about_drift():
    assert alarms(CONFIG, CALM.model_copy(update={"predictions": 999, "drift": {"a": 0.9}})) == []


def test_nothing_served_raises_nothing():
    assert alarms(CONFIG, Measurements(as_of=CALM.as_of, model="m", version=1)) == []
