"""The features against pandas, row by row, on days that were picked for their weather."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import source
from model.features import REQUEST_FEATURES, VIEWS
from pipelines.config import Problem
from pipelines.feature.engineer import compute
from pipelines.feature.request import from_table

START, END = datetime(2013, 2, 7, tzinfo=UTC), datetime(2013, 2, 10, tzinfo=UTC)  # the storm of 8 February
SCHEMA = Problem.load("model").config.request_columns


@pytest.mark.parametrize("view", VIEWS[:3], ids=lambda view: view.name)
def test_punctuality_is_the_mean_of_the_hours_up_to_each_flight(view):
    time, delay = ("departed_at", "departure_delay") if view.table == "departures" else ("landed_at", "arrival_delay")
    raw = source.read(view.table, START - view.lookback, END)
    rows = compute(view, raw, START, END).to_pandas()
    events, (entity,) = raw.to_pandas(), view.entity
    for row in rows.sample(60, random_state=1).to_dict("records"):
        recent = events[
            (events[entity] == row[entity])
            & (events[time] <= row["event_time"])
            & (events[time] >= row["event_time"] - view.lookback)
        ][delay]
        assert row[f"{entity}_mean_delay"] == pytest.approx(recent.mean(), rel=1e-5)
        assert row[f"{entity}_share_late"] == pytest.approx((recent > 15).mean(), rel=1e-5)
        assert row[f"{entity}_flights"] == len(recent)


def test_a_view_computed_day_by_day_is_the_view_computed_at_once():
    view = VIEWS[2]
    raw = source.read(view.table, START - view.lookback, END)
    at_once = compute(view, raw, START, END)
    days = [START + timedelta(days=n) for n in range(3)]
    by_day = [compute(view, raw, day, day + timedelta(days=1)).to_pandas() for day in days]
    order = ["destination", "event_time"]
    pd.testing.assert_frame_equal(
        at_once.to_pandas().sort_values(order, ignore_index=True),
        pd.concat(by_day).sort_values(order, ignore_index=True),
    )


def test_weather_says_how_near_the_air_is_to_fog():
    raw = source.read("weather", START, END)
    rows = compute(VIEWS[3], raw, START, END).to_pandas()
    assert (rows["dew_point_spread"] - (rows["temperature"] - rows["dew_point"])).abs().max() < 1e-4
    assert (rows["effective_time"] - rows["event_time"]).min() == timedelta(hours=2)  # an hour late, then the next hour


def test_schedule_features_are_new_yorks_clock():
    rows = source.read("schedule", datetime(2013, 3, 9, tzinfo=UTC), datetime(2013, 3, 12, tzinfo=UTC))
    features = REQUEST_FEATURES.compute(from_table(rows, SCHEMA))
    local = rows["scheduled_departure"].to_pandas().dt.tz_convert("America/New_York")
    np.testing.assert_allclose(features["local_hour"], local.dt.hour + local.dt.minute / 60)
    np.testing.assert_array_equal(features["weekday"], local.dt.weekday)
    minutes = (rows["scheduled_arrival"].to_pandas() - rows["scheduled_departure"].to_pandas()).dt.total_seconds() / 60
    np.testing.assert_allclose(features["scheduled_minutes"], minutes)


@given(st.lists(st.datetimes(datetime(2013, 1, 1), datetime(2014, 12, 31)), min_size=1, max_size=20))
def test_local_time_holds_across_clock_changes_for_one_and_many_requests(times):
    departures = np.array(times, dtype="datetime64[us]")
    request = {
        "scheduled_departure": departures,
        "scheduled_arrival": departures,
        **{name: np.array(["x"] * len(times), dtype=object) for name in ("carrier", "origin", "destination")},
        "distance": np.ones(len(times)),
    }
    local = [time.replace(tzinfo=UTC).astimezone(ZoneInfo("America/New_York")) for time in times]
    together = REQUEST_FEATURES.compute(request)["local_hour"]
    alone = [
        REQUEST_FEATURES.compute({k: v[n : n + 1] for k, v in request.items()})["local_hour"][0]
        for n in range(len(times))
    ]
    expected = [time.hour + time.minute / 60 + time.second / 3600 + time.microsecond / 3.6e9 for time in local]
    np.testing.assert_allclose(together, expected)
    np.testing.assert_array_equal(together, alone)
