"""Replay: sends recorded requests of the request table to a running app, for environments without traffic."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.config import Problem, UserError
from pipelines.feature import schema
from pipelines.serving.client import ServingClient
from pipelines.storage.tables import Tables


class Replayed(NamedTuple):
    """The result of a replay; latencies are in milliseconds, from sending a request to its whole answer."""

    requests: int
    failed: int
    predictions: int
    seconds: float
    p50: float
    p95: float
    p99: float


def recorded(problem: Problem, tables: Tables, start: datetime, end: datetime) -> pa.Table:
    """Return the request table's rows of ``[start, end)``, oldest first.

    Raises:
        UserError: when there is none.
    """
    config = problem.config
    name = config.request.table
    rows = schema.read(tables, name, config.tables[name], start=start, end=end)
    if not rows.num_rows:
        raise UserError(f"table raw.{name} has no requests from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}")
    return rows.sort_by([(config.event_time, "ascending"), (config.key, "ascending")])


def replay(
    app: ServingClient,
    rows: pa.Table,
    batch: int,
    rate: float | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Replayed:
    """Send rows with their event times, ``batch`` to a request, one request after another.

    Sends at most ``rate`` requests a second, and never two at once, so a slower app gets fewer.
    """
    began, predictions, latencies = time.perf_counter(), 0, []
    for offset in _paced(range(0, rows.num_rows, batch), began, rate):
        given = rows.slice(offset, batch).to_pylist()
        sent = time.perf_counter()
        predictions += len(app.predict(given))
        latencies.append((time.perf_counter() - sent) * 1000)
        advance(len(given))
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]).tolist()
    return Replayed(len(latencies), app.failed, predictions, time.perf_counter() - began, p50, p95, p99)


def _paced(offsets: range, began: float, rate: float | None) -> Iterator[int]:
    """Yield offsets at this rate."""
    for number, offset in enumerate(offsets):
        if rate is not None:
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        yield offset
