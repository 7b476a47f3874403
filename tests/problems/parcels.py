"""Parcels on their way from three depots: made up, the same on every machine, with a change in the world on the way.

A parcel takes longer when its depot's queue is long and when it is heavy. From ``STRIKE`` on every parcel takes half
an hour more, which no model trained before can know.
"""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.config import CATEGORICAL, NUMERIC, FeatureView, RequestFeatures

DEPOTS = ("berlin", "lyon", "porto")
START = datetime(2024, 1, 1, tzinfo=UTC)
STRIKE = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = 80
PER_DAY = 100
_TIME = {"parcels": "asked_at", "scans": "scanned_at", "deliveries": "delivered_at"}


def read(table: str, start: datetime, end: datetime) -> pa.Table:
    """Return the rows of a raw table whose event time lies in ``[start, end)``."""
    rows = _tables()[table]
    time = rows[_TIME[table]]
    return pa.Table.from_pandas(rows[(time >= start) & (time < end)], preserve_index=False)


@cache
def _tables() -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(7)
    hours = pd.date_range(START, periods=DAYS * 24, freq="h", unit="us")
    scans = pd.concat(
        pd.DataFrame(
            {
                "depot": depot,
                "scanned_at": hours + pd.Timedelta(minutes=7 * (number + 1)),
                "queue": np.maximum(
                    0, 20 + 15 * np.sin(np.arange(len(hours)) / 9 + number) + random.normal(0, 3, len(hours))
                ),
            }
        )
        for number, depot in enumerate(DEPOTS)
    )
    scans["scanned_at"] = scans["scanned_at"].astype("datetime64[us, UTC]")
    count = DAYS * PER_DAY
    asked = START + pd.to_timedelta(np.sort(random.integers(0, DAYS * 86400, count)), unit="s")
    depot = random.choice(DEPOTS, count)
    weight = random.gamma(2.0, 4.0, count).round(2)
    queue = _as_of(scans, depot, asked)
    minutes = 20 + 1.2 * queue + 0.9 * weight + random.normal(0, 6, count)
    minutes = np.maximum(5, minutes + np.where(asked >= STRIKE, 30, 0)).round(1)
    parcels = pd.DataFrame(
        {
            "parcel_id": [f"p{number:05d}" for number in range(count)],
            "asked_at": pd.Series(asked).astype("datetime64[us, UTC]"),
            "depot": depot,
            "weight": weight,
            "recipient": [f"person {number % 997}" for number in range(count)],
        }
    )
    deliveries = parcels[["parcel_id"]].assign(
        delivered_at=(parcels["asked_at"] + pd.to_timedelta(minutes, unit="min")).astype("datetime64[us, UTC]"),
        minutes=minutes,
    )
    lost = random.random(count) < 0.02  # never delivered, so never labelled
    return {"parcels": parcels, "scans": scans, "deliveries": deliveries[~lost]}


def _as_of(scans: pd.DataFrame, depot: np.ndarray, asked: pd.DatetimeIndex) -> np.ndarray:
    requests = pd.DataFrame({"depot": depot, "asked": pd.Series(asked).astype("datetime64[us, UTC]")})
    known = scans.sort_values("scanned_at")
    return (
        pd.merge_asof(requests, known, left_on="asked", right_on="scanned_at", by="depot")["queue"]
        .fillna(20)
        .to_numpy()
    )


def _latest_queue(scans: pd.DataFrame) -> pd.DataFrame:
    return scans.rename(columns={"scanned_at": "event_time", "queue": "queue_now"})


VIEWS = (
    FeatureView(
        name="queue",
        description="How long the depot's queue was at its last scan.",
        entity=("depot",),
        table="scans",
        features={"queue_now": NUMERIC},
        every=timedelta(minutes=15),
        ttl=timedelta(hours=6),
        python=_latest_queue,
    ),
    FeatureView(
        name="queue_trend",
        description="How long it was on average over the three hours up to its last scan.",
        entity=("depot",),
        table="scans",
        features={"queue_mean": NUMERIC, "queue_scans": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(hours=6),
        lookback=timedelta(hours=3),
        sql="""
            SELECT
                depot,
                scanned_at AS event_time,
                avg(queue) OVER recent AS queue_mean,
                count(*) OVER recent AS queue_scans
            FROM scans WINDOW recent AS (
                PARTITION BY depot ORDER BY scanned_at RANGE BETWEEN INTERVAL 3 HOURS PRECEDING AND CURRENT ROW
            )""",
    ),
)

REQUEST_FEATURES = RequestFeatures(
    features={"depot": CATEGORICAL, "weight": NUMERIC, "hour": NUMERIC},
    compute=lambda request: {
        "depot": request["depot"],
        "weight": request["weight"],
        "hour": (request["asked_at"] - request["asked_at"].astype("datetime64[D]")) / np.timedelta64(1, "h"),
    },
)
