"""The source against what the files say otherwise: times in the air, local clocks, known counts."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow.compute as pc
import pytest

from model import source
from monitoring.data_quality import violations
from pipelines.config import Problem
from pipelines.feature import FeatureParams
from pipelines.feature.validate import validate

YEAR = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def raw_flights():
    return pd.read_csv(source._data() / "flights.csv.zip")


def test_every_flight_is_there_once():
    schedule = source.read("schedule", *YEAR)
    assert schedule.num_rows == 336_776
    assert pc.count_distinct(schedule["flight_id"]).as_py() == 336_776


def test_flights_without_an_arrival_have_no_label(raw_flights):
    arrivals = source.read("arrivals", *YEAR)
    assert arrivals.num_rows == raw_flights["arr_delay"].notna().sum() == 327_346
    assert source.read("departures", *YEAR).num_rows == raw_flights["dep_time"].notna().sum()


def test_times_in_utc_leave_the_time_that_was_spent_in_the_air(raw_flights):
    """Departure and arrival stand on different clocks; a wrong zone or a wrong day shows as taxiing for hours."""
    flights = source._flights()
    taxi = (flights["landed_at"] - flights["departed_at"]).dt.total_seconds() / 60 - raw_flights["air_time"]
    assert taxi.min() >= 5
    assert taxi.max() <= 240


def test_departures_agree_with_the_hour_that_the_file_gives_in_utc(raw_flights):
    hour = pd.to_datetime(raw_flights["time_hour"], utc=True)
    assert (source._flights()["scheduled_departure"].dt.floor("h") == hour).all()


def test_clocks_are_read_in_their_own_time_zones(raw_flights):
    """A sample of flights, their times worked out one by one with the standard library."""
    zones = dict(pd.read_csv(source._data() / "airports.csv")[["faa", "tzone"]].to_numpy()) | source._CARIBBEAN
    flights = source._flights()
    for position in raw_flights.sample(300, random_state=3).index:
        given, row = raw_flights.loc[position], flights.loc[position]
        day = datetime(given["year"], given["month"], given["day"])
        departure = _at(day, given["sched_dep_time"], "America/New_York")
        arrival = min(
            moment
            for offset in (-1, 0, 1, 2)
            if (moment := _at(day + timedelta(days=offset), given["sched_arr_time"], zones[given["dest"]])) > departure
        )
        assert row["scheduled_departure"] == departure
        assert row["scheduled_arrival"] == arrival
        assert row["asked_at"] == departure - timedelta(hours=2)


def _at(day, hhmm, zone):
    local = day + timedelta(hours=int(hhmm) // 100, minutes=int(hhmm) % 100)
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_weather_runs_on_when_clocks_change():
    """The night of 3 November has 1 o'clock twice; the file's UTC column tells the two hours apart."""
    rows = source.read("weather", datetime(2013, 11, 3, 4, tzinfo=UTC), datetime(2013, 11, 3, 8, tzinfo=UTC))
    hours = rows.filter(pc.equal(rows["origin"], "EWR"))["observed_at"].to_pylist()
    assert [hour.hour for hour in hours] == [5, 6, 7]


def test_a_span_includes_its_start_and_excludes_its_end():
    moment = source.read("schedule", *YEAR)["asked_at"][1000].as_py()
    assert all(time >= moment for time in source.read("schedule", moment, YEAR[1])["asked_at"].to_pylist()[:5])
    assert source.read("schedule", YEAR[0], moment)["asked_at"].to_pylist()[-1] < moment


def test_the_year_keeps_its_data_contract_until_the_weather_ends():
    problem = Problem.load("model")
    params = FeatureParams(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 12, 30, tzinfo=UTC))
    raw = {table: source.read(table, params.start, params.end) for table in problem.config.tables}
    assert sum(validate(params, problem, raw).rows.values()) > 900_000


def test_the_last_day_of_the_year_has_no_weather_and_would_be_refused():
    contract = Problem.load("model").config.tables["weather"]
    day = datetime(2013, 12, 31, tzinfo=UTC)
    rows = source.read("weather", day, day + timedelta(days=1))
    (violation,) = violations(rows, contract, day.date(), (day + timedelta(days=1)).date())
    assert "1 days have fewer than 40 rows" in violation.rule
