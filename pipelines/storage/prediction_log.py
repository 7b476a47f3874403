"""The prediction log: what was asked, seen and answered, as Parquet files in the object store, by day of the answer.

A thread writes pending predictions every ``flush_seconds``. A killed process loses at most the predictions of that
time and of one write; a stopped one loses none. With ``log_sample`` below 1 only that share of the predictions is
logged, chosen by their ids, unless a challenger takes traffic.

When the store is slow, requests wait for it until their deadline, so memory is bounded. When it fails, predictions are
kept and written later; once too many wait, requests are refused rather than going unlogged.
"""

import contextlib
import io
import logging
import secrets
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.contracts import keys
from pipelines.storage.ports import ObjectStore, Unavailable
from pipelines.storage.tables import TIMESTAMP

log = logging.getLogger(__name__)

Strings = list[str | None]

_CLOSE_SECONDS = 10  # which leaves time to spill before the process is killed

_COLUMNS: Mapping[str, pa.DataType] = {
    "prediction_id": pa.string(),
    "event_time": TIMESTAMP,
    "answered_at": TIMESTAMP,
    "key": pa.string(),
    "unit": pa.string(),
    "release": pa.int32(),
    "routed": pa.string(),
    "variant": pa.string(),
    "model": pa.string(),
    "version": pa.int32(),
    "prediction": pa.float32(),
    "latency_ms": pa.float32(),
    "error": pa.string(),
    "mirror_prediction": pa.float32(),
    "mirror_latency_ms": pa.float32(),
    "mirror_error": pa.string(),
}
"""What every file has besides its model's features."""

_ALWAYS = {"prediction_id", "event_time", "answered_at", "key", "model", "version", "prediction"}
"""What files of every version of the project have."""

_TOGETHER = 16  # files that are read at once


class Predictions(NamedTuple):
    """The answers to one request body of one or more rows; each field has one value for each row.

    ``event_time`` is what the request says, for its features alone; ``answered_at`` is the server's time, by which the
    log is laid out and read. ``release`` is the transition of the release log that was served. ``unit`` is what the row
    was routed by: its key, or the value of the strategy's sticky field. ``routed`` is the variant that the row was sent
    to, ``variant`` the one that answered; they differ when the challenger failed, and ``error`` says how. ``mirror_*``
    is what the variant said that was asked beside the one that answered; null where none was.
    """

    prediction_id: Strings
    event_time: npt.NDArray[np.datetime64]
    answered_at: npt.NDArray[np.datetime64]
    key: Sequence[str]
    unit: Sequence[str]
    release: list[int]
    routed: Strings
    variant: Strings
    model: Strings
    version: list[int]
    prediction: npt.NDArray[np.float32]
    latency_ms: list[float]
    error: Strings
    features: Mapping[str, npt.NDArray[Any]]
    mirror_prediction: Sequence[float | None]
    mirror_latency_ms: Sequence[float | None]
    mirror_error: Strings


def sampled(predictions: Predictions, share: float) -> Predictions:
    """Return the share of predictions that is chosen by a hash of their ids, so that anyone can tell which are."""
    if share >= 1:
        return predictions
    limit = share * 2**32
    return chosen(
        predictions,
        [row for row, name in enumerate(predictions.prediction_id) if zlib.crc32((name or "").encode()) < limit],
    )


def chosen(predictions: Predictions, rows: Sequence[int]) -> Predictions:
    """Return some rows of predictions."""

    def take(values: Any) -> Any:
        if isinstance(values, Mapping):
            return {name: take(column) for name, column in values.items()}
        return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]

    return Predictions._make(map(take, predictions))


class _File(NamedTuple):
    key: str
    data: bytes
    rows: int


class LogWriter:
    """Collects predictions and writes them from a thread of its own."""

    def __init__(
        self,
        objects: ObjectStore,
        environment: str,
        flush_seconds: float,
        flush_rows: int,
        spill: Path | None = None,
    ) -> None:
        self._spill, self._spilled = spill, sorted(spill.rglob("*.parquet")) if spill else []
        self._objects, self._environment = objects, environment
        self._name = secrets.token_hex(8)  # clocks go back, and containers give their processes the same ids
        self._flush_seconds, self._flush_rows = flush_seconds, flush_rows
        self._waiting: list[Predictions] = []
        self._files: list[_File] = []
        self._rows = self._written = self._failures = 0
        self._changed = threading.Condition()
        self._asked, self._failure = False, ""
        self._writing = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many predictions are not written yet."""
        return self._rows

    @property
    def full(self) -> bool:
        """Whether so many are pending that to make room for more is to wait for the store."""
        return self._rows >= 10 * self._flush_rows

    def make_room(self, deadline: float) -> None:
        """Wait for the store while ten times ``flush_rows`` predictions are pending; call it before there are more.

        Raises:
            Unavailable: when they cannot be written, or are not at the deadline, on the clock of ``time.monotonic``.
        """
        with self._changed:
            failures = self._failures
            while self.full:
                left = deadline - time.monotonic()
                if left <= 0 or self._failures > failures:
                    reason = self._failure if self._failures > failures else "the store is slow"
                    told = f"The prediction log cannot be written ({reason}) and {self._rows:,} predictions wait"
                    raise Unavailable(f"{told}; ask again later.")
                self._asked = True
                self._changed.notify_all()
                self._changed.wait(left)

    def append(self, predictions: Predictions) -> None:
        """Add predictions; what was answered is kept, however many are pending."""
        if not predictions.prediction_id:
            return
        with self._changed:
            self._waiting.append(predictions)
            self._rows += len(predictions.prediction_id)
            if self._rows >= self._flush_rows:
                self._asked = True
                self._changed.notify_all()

    def flush(self) -> None:
        """Write what is pending now."""
        with self._writing:
            with self._changed:
                batch = self._waiting.copy()
            if batch:
                self._files += self._encoded(batch)
                with self._changed:
                    del self._waiting[: len(batch)]
            while self._files:
                file = self._files[0]
                self._objects.write(file.key, file.data)
                del self._files[0]
                with self._changed:
                    self._rows -= file.rows
                    self._changed.notify_all()

    def close(self) -> int:
        """Write what is pending and stop; return how many predictions the store did not take.

        Those are written below the folder ``spill``, if there is one, and into the store when the next process starts.
        """
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)
        if self._rows:
            log.error("%s", self._told_of_loss())
        return self._rows

    def _told_of_loss(self) -> str:
        reason = self._failure or "the store is slow"
        lost = f"{self._rows:,} predictions that were answered are not in the log ({reason}); they are"
        if self._spill is None:
            return f"{lost} lost: free the store, and name a second place by RATCHET_SPILL"
        try:
            self._write_below(self._spill)
        except Exception as error:
            return f"{lost} lost, as {self._spill} cannot be written either ({error})"
        return f"{lost} in {self._spill}, and the app writes them into the log when it starts there again"

    def _write_below(self, folder: Path) -> None:
        with self._changed:
            waiting = self._waiting.copy()
        for file in self._files + (self._encoded(waiting) if waiting else []):
            path = folder / file.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".part").write_bytes(file.data)
            path.with_suffix(".part").replace(path)

    def _run(self) -> None:
        while True:
            due = time.monotonic() + self._flush_seconds
            with self._changed:
                self._asked = False
            self.try_to_flush()
            with self._changed:
                self._changed.wait_for(lambda: self._asked or not self._open, max(0.0, due - time.monotonic()))
            if not self._open:
                self.try_to_flush()
                return

    def try_to_flush(self) -> None:
        """Write what is pending now; what the store does not take stays pending."""
        try:
            self.flush()
            self._take_back()
        except Exception as error:  # the log survives any failure of the store
            log.error("prediction log not written pending=%d reason=%s", self._rows, error)
            with self._changed:
                self._failures += 1
                self._failure = str(error.strerror if isinstance(error, OSError) else error)
                self._changed.notify_all()

    def _take_back(self) -> None:
        """Write what an earlier process spilled; several processes may, as a file keeps its key."""
        while self._spill and self._spilled:
            with contextlib.suppress(FileNotFoundError):
                file = self._spilled[0]
                self._objects.write(file.relative_to(self._spill).as_posix(), file.read_bytes())
                file.unlink()
            del self._spilled[0]

    def _encoded(self, batch: list[Predictions]) -> "list[_File]":
        """Return the batch as one file for each day; a file keeps its name however often it is written."""
        table = _table(batch)
        days = table["answered_at"].cast(pa.date32())
        files = []
        for day in pc.unique(days).to_pylist():
            rows, sink = table.filter(pc.equal(days, pa.scalar(day))), io.BytesIO()
            pq.write_table(rows, sink, compression="zstd")
            self._written += 1
            name = f"{time.time_ns():020d}-{self._name}-{self._written}"
            key = f"{_folder(self._environment, day)}{name}.parquet"
            files.append(_File(key, sink.getvalue(), rows.num_rows))
        return files


class LogReader:
    """Reads an environment's prediction log as a table.

    A file that is not of the log, such as a truncated one, is left out: ``unreadable`` says why, by key, of the latest
    read.
    """

    def __init__(self, objects: ObjectStore, environment: str) -> None:
        self._objects, self._environment = objects, environment
        self.unreadable: dict[str, str] = {}

    def read(self, start: datetime, end: datetime, columns: list[str] | None = None) -> pa.Table | None:
        """Return the predictions that were answered in ``[start, end)``, or None when there is none."""
        self.unreadable = {}
        days = (start.date() + timedelta(days=offset) for offset in range((end - start).days + 2))
        keys = [key for day in days for key in self._objects.keys(_folder(self._environment, day))]
        if not keys:
            return None
        with ThreadPoolExecutor(_TOGETHER) as pool:  # most of the time is a remote store's, for each file
            contents = list(pool.map(self._objects.read, keys))
        found = (self._table(key, data, columns) for key, data in zip(keys, contents, strict=True))
        tables = [table for table in found if table is not None]
        if not tables:
            return None
        table = _united(tables)
        answered = table["answered_at"]
        inside = pc.and_(
            pc.greater_equal(answered, pa.scalar(start, TIMESTAMP)), pc.less(answered, pa.scalar(end, TIMESTAMP))
        )
        return table.filter(inside)

    def days(self) -> tuple[datetime, datetime] | None:
        """Return the first midnight and the one after the last day that the log covers, or None when it is empty."""
        folders = self._objects.folders(keys.predictions(self._environment))
        found = [date.fromisoformat(name.removeprefix("day=")) for name in folders]
        if not found:
            return None
        first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in (found[0], found[-1]))
        return first, last + timedelta(days=1)

    def find(self, prediction_id: str) -> dict[str, Any] | None:
        """Return the row of one prediction, looking at the latest days first, or None."""
        for folder in reversed(self._objects.folders(keys.predictions(self._environment))):
            for key in reversed(self._objects.keys(f"{keys.predictions(self._environment)}{folder}/")):
                table = self._table(key, self._objects.read(key), None)
                if table is None:
                    continue
                row = pc.index(table["prediction_id"], prediction_id).as_py()
                if row >= 0:
                    return table.slice(row, 1).to_pylist()[0]  # type: ignore[no-any-return]
        return None

    def _table(self, key: str, data: bytes | None, columns: list[str] | None) -> pa.Table | None:
        """Return some columns of a file, or None when it cannot be read as one of the log."""
        try:
            return _parquet(data, columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.unreadable[key] = str(error).splitlines()[0]
            log.warning("prediction log file left out key=%s reason=%s", key, self.unreadable[key])
            return None


def _parquet(data: bytes | None, columns: list[str] | None) -> pa.Table:
    """Read some columns of a file of the log.

    Raises:
        ArrowException, OSError, ValueError: when it is none, with the reason.
    """
    if data is None:
        raise ValueError("it was deleted while the log was read")
    # In this thread: a command that ends while Arrow's pool still winds up is aborted by the C++ runtime.
    file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
    given = {field.name: field.type for field in file.schema_arrow}
    for name, kind in _COLUMNS.items():
        if name in _ALWAYS and name not in given:
            raise ValueError(f"it has no column {name}")
        if given.get(name, kind) != kind:
            raise ValueError(f"its column {name} is {given[name]}, not {kind}")
    return file.read(columns=columns, use_threads=False)


def _folder(environment: str, day: date) -> str:
    return keys.predictions(environment, day)


def _table(batch: list[Predictions]) -> pa.Table:
    """Return predictions as a table; models of other features have null where they have no such feature."""
    groups = defaultdict[tuple[Any, ...], list[Predictions]](list)
    for predictions in batch:
        groups[tuple((name, values.dtype.kind) for name, values in predictions.features.items())].append(predictions)
    return _united([_alike(group) for group in groups.values()])


def _united(tables: list[pa.Table]) -> pa.Table:
    """Return tables as one, as text what is a number in one and text in another: a feature may become another type."""
    kinds = defaultdict[str, set[pa.DataType]](set)
    for field in (field for table in tables for field in table.schema):
        kinds[field.name].add(field.type)
    mixed = [name for name, types in kinds.items() if len(types - {pa.null()}) > 1]
    for name in mixed:
        tables = [_as_text(table, name) if name in table.column_names else table for table in tables]
    return pa.concat_tables(tables, promote_options="default")


def _as_text(table: pa.Table, name: str) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))


def _alike(batch: list[Predictions]) -> pa.Table:
    def joined(name: str) -> list[Any]:
        return [value for predictions in batch for value in getattr(predictions, name)]

    times = {name: _times([getattr(p, name) for p in batch]) for name in ("event_time", "answered_at")}
    scores = pa.array(np.concatenate([p.prediction for p in batch]), pa.float32(), from_pandas=True)
    given = {**times, "prediction": scores}
    columns: dict[str, Any] = {
        name: given[name] if name in given else pa.array(joined(name), kind) for name, kind in _COLUMNS.items()
    }
    for name in batch[0].features:
        columns[f"feature_{name}"] = pa.array(np.concatenate([p.features[name] for p in batch]), from_pandas=True)
    return pa.table(columns)


def _times(given: list[npt.NDArray[np.datetime64]]) -> pa.Array:
    return pa.array(np.concatenate(given)).cast(pa.timestamp("us")).cast(TIMESTAMP)
