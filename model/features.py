"""What the model is fed: how punctual the airport, the airline and the destination have just been, weather, schedule.

The month is left out on purpose: a model that has seen January to August would have to guess what September means.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.config import CATEGORICAL, NUMERIC, FeatureView, RequestFeatures

Columns = Mapping[str, npt.NDArray[Any]]

_NEW_YORK = ZoneInfo("America/New_York")
_MINUTE = np.timedelta64(1, "m")


def _punctuality(entity: str, time: str, delay: str, table: str, hours: int) -> str:
    """Return SQL for the mean delay, the share late and the count of an entity's flights in the hours up to each."""
    return f"""
        SELECT DISTINCT
            {entity},
            {time} AS event_time,
            avg({delay}) OVER recent AS {entity}_mean_delay,
            avg(({delay} > 15)::INTEGER) OVER recent AS {entity}_share_late,
            count(*) OVER recent AS {entity}_flights
        FROM {table}
        WINDOW recent AS (
            PARTITION BY {entity} ORDER BY {time}
            RANGE BETWEEN INTERVAL {hours} HOURS PRECEDING AND CURRENT ROW
        )"""


def _conditions(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the weather as the model takes it; the dew point within a few degrees of the temperature means fog."""
    weather = observations.rename(columns={"observed_at": "event_time"})
    weather["dew_point_spread"] = weather["temperature"] - weather["dew_point"]
    return weather


VIEWS = (
    FeatureView(
        name="origin_punctuality",
        description="Departures from the origin in the 2 hours up to its last one.",
        entity=("origin",),
        table="departures",
        features={"origin_mean_delay": NUMERIC, "origin_share_late": NUMERIC, "origin_flights": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(hours=12),
        lookback=timedelta(hours=2),
        sql=_punctuality("origin", "departed_at", "departure_delay", "departures", hours=2),
    ),
    FeatureView(
        name="carrier_punctuality",
        description="Departures of the airline from New York in the 6 hours up to its last one.",
        entity=("carrier",),
        table="departures",
        features={"carrier_mean_delay": NUMERIC, "carrier_share_late": NUMERIC, "carrier_flights": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(hours=24),
        lookback=timedelta(hours=6),
        sql=_punctuality("carrier", "departed_at", "departure_delay", "departures", hours=6),
    ),
    FeatureView(
        name="destination_punctuality",
        description="Landings at the destination in the 24 hours up to its last one.",
        entity=("destination",),
        table="arrivals",
        features={"destination_mean_delay": NUMERIC, "destination_share_late": NUMERIC, "destination_flights": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(days=2),
        lookback=timedelta(hours=24),
        sql=_punctuality("destination", "landed_at", "arrival_delay", "arrivals", hours=24),
    ),
    FeatureView(
        name="weather",
        description="The latest observation at the origin, taken to reach us an hour after it was made.",
        entity=("origin",),
        table="weather",
        features={
            "temperature": NUMERIC,
            "dew_point": NUMERIC,
            "dew_point_spread": NUMERIC,
            "humidity": NUMERIC,
            "wind_speed": NUMERIC,
            "wind_gust": NUMERIC,
            "precipitation": NUMERIC,
            "pressure": NUMERIC,
            "visibility": NUMERIC,
        },
        every=timedelta(hours=1),
        delay=timedelta(hours=1),
        ttl=timedelta(hours=6),
        python=_conditions,
    ),
)


def _schedule(request: Columns) -> Columns:
    departure = request["scheduled_departure"]
    local = departure + _utc_offset(departure)
    day = local.astype("datetime64[D]")
    minutes = (local - day) / _MINUTE
    return {
        "carrier": request["carrier"],
        "origin": request["origin"],
        "destination": request["destination"],
        "distance": request["distance"],
        "local_hour": minutes / 60,
        "weekday": (day.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday; Monday is 0
        "scheduled_minutes": (request["scheduled_arrival"] - departure) / _MINUTE,
    }


REQUEST_FEATURES = RequestFeatures(
    features={
        "carrier": CATEGORICAL,
        "origin": CATEGORICAL,
        "destination": CATEGORICAL,
        "distance": NUMERIC,
        "local_hour": NUMERIC,
        "weekday": NUMERIC,
        "scheduled_minutes": NUMERIC,
    },
    compute=_schedule,
)


def _utc_offset(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.timedelta64]:
    """Return New York's offset from UTC at each time; it changes only on the hour, so an hour is looked up once."""
    return np.array([_offset_at(hour) for hour in times.astype("datetime64[h]").tolist()], dtype="timedelta64[s]")


@lru_cache(maxsize=100_000)
def _offset_at(hour: datetime) -> int:
    """Return the offset in seconds."""
    moment = hour.replace(tzinfo=UTC)
    return round((moment.astimezone(_NEW_YORK).replace(tzinfo=UTC) - moment).total_seconds())
