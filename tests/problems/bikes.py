"""Rented bikes, as a data scientist would bring them: one wide file a row for each station and hour, made up.

A station's next hour depends on the hour of the day, the weekday, the rain, and how the station has been of late. The
rentals of an hour are known a day later. The names of the columns, a missing value here and there and somebody's
address are what such files have. Run as a program, it writes the file: ``python -m tests.problems.bikes bikes.csv``.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

START = datetime(2024, 4, 1, tzinfo=UTC)
DAYS = 56
STATIONS = ("Brücke", "Hafen", "Markt", "Oper", "Park", "Turm")


def sample() -> pd.DataFrame:
    """Return the file's rows, oldest first."""
    random = np.random.default_rng(11)
    hours = pd.date_range(START, periods=DAYS * 24, freq="h")
    rows = pd.MultiIndex.from_product([hours, range(len(STATIONS))]).to_frame(index=False, name=["hour", "station"])
    rain = np.repeat((random.random(len(hours)) < 0.15) * random.gamma(1.5, 2.0, len(hours)), len(STATIONS)).round(1)
    clock, weekend = rows["hour"].dt.hour, rows["hour"].dt.dayofweek >= 5
    level = np.repeat(np.cumsum(random.normal(0, 0.5, (DAYS, len(STATIONS))), axis=0)[:, None, :], 24, axis=1).ravel()
    busy = 12 + 8 * np.sin((clock - 7) / 24 * 2 * np.pi) - 4 * weekend + 2 * rows["station"] + level - 1.5 * rain
    temperature = 14 + 6 * np.sin((clock - 9) / 24 * 2 * np.pi) + random.normal(0, 2, len(rows))
    return pd.DataFrame(
        {
            "Station": np.array(STATIONS)[rows["station"]],
            "asked at": rows["hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Temperature (°C)": temperature.round(1).where(random.random(len(rows)) > 0.03),
            "rain": rain,
            "order": random.integers(1, 9, len(rows)),  # says nothing, and is a word of SQL
            "Contact e-mail": [f"keeper{n}@example.com" for n in rows["station"]],
            "rentals": np.maximum(0, busy + random.normal(0, 2, len(rows))).round(),
        }
    )


if __name__ == "__main__":
    sample().to_csv(Path(sys.argv[1]), index=False)
