"""Features in both stores: whatever order the days come in, and however late rows take effect."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines.bootstrap import pipeline
from pipelines.feature import FeatureParams
from pipelines.feature.entity import entity_key
from tests.conftest import HISTORY
from tests.problems.parcels import VIEWS

DAY = timedelta(days=1)
FEATURE = pipeline("feature")


def days(first, last):
    return FeatureParams(start=HISTORY + first * DAY, end=HISTORY + last * DAY)


def feature_rows(platform):
    tables = [platform.tables.read(f"features.{view.versioned_name}") for view in VIEWS]
    return [table.sort_by([("depot", "ascending"), ("event_time", "ascending")]).to_pylist() for table in tables]


def test_a_run_resumed_after_a_later_one_takes_nothing_from_it(new_platform):
    platform, straight = new_platform(name="killed"), new_platform(name="straight")
    early = platform.runner.start(FEATURE, days(0, 1), "early")
    for step in ("extract", "validate", "ingest", "engineer"):
        platform.runner.step(FEATURE, step, early)
    platform.run("feature", days(1, 2))
    platform.runner.run(FEATURE, early)
    straight.run("feature", days(0, 2))
    assert feature_rows(platform) == feature_rows(straight)


def test_days_that_come_in_the_wrong_order_end_the_same(new_platform):
    platform, straight = new_platform(name="backwards"), new_platform(name="straight")
    platform.run("feature", days(1, 2))
    platform.run("feature", days(0, 1))
    straight.run("feature", days(0, 2))
    assert feature_rows(platform) == feature_rows(straight)


@pytest.fixture
def delayed(new_platform):
    """A platform with one view, whose rows reach it 25 hours late."""
    platform = new_platform()
    view = replace(VIEWS[0], delay=timedelta(hours=25), ttl=timedelta(days=3))
    platform.problem.__dict__["views"] = (view,)
    return platform, view


def test_a_row_with_a_later_effective_time_comes_online_then(delayed):
    platform, view = delayed
    key = (view.versioned_name, entity_key(("berlin",)))
    platform.run("feature", days(0, 1))
    assert platform.online.read([key]) == {}
    for day in range(1, 4):
        platform.run("feature", days(day, day + 1))
        known_until = HISTORY + (day + 1) * DAY - view.delay
        found = platform.online.read([key])[key].event_time
        assert known_until - timedelta(hours=1) <= found < known_until
