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
)


def test_calm_raises_nothing():
    assert alarms(CONFIG, CALM) == []


@pytest.mark.parametrize(
    ("change", "name", "retrain"),
    [
        ({"quality": {"bias": 0.16}}, "performance.bias", True),
        ({"quality": {"bias": -0.16}}, "performance.bias", True),
        ({"drift": {"a": 0.3, "b": 0.3, "c": 0.0}}, "drift", True),
        ({"coverage": 0.5}, "label_coverage", False),
    ],
)
def test_each_bound_that_is_left_raises_its_alarm(change, name, retrain):
    (alarm,) = alarms(CONFIG, CALM.model_copy(update=change))
    assert (alarm.name, alarm.retrain) == (name, retrain)


def test_few_labels_say_nothing_about_quality():
    assert alarms(CONFIG, CALM.model_copy(update={"labels": 199, "quality": {"bias": 0.9}})) == []


def test_few_predictions_say_nothing_about_drift():
    assert alarms(CONFIG, CALM.model_copy(update={"predictions": 999, "drift": {"a": 0.9}})) == []


def test_nothing_served_raises_nothing():
    assert alarms(CONFIG, Measurements(as_of=CALM.as_of, model="m", version=1)) == []
