import io
import itertools
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import CATEGORICAL, NUMERIC
from pipelines.registry.scoring import columns
from pipelines.storage.ports import Unavailable
from pipelines.storage.prediction_log import LogReader, LogWriter, Predictions, sampled

START = datetime(2024, 1, 1, 22, tzinfo=UTC)


def predictions(*ids, hours=0):
    rows, answered = len(ids), np.datetime64("2024-01-01T22:00", "us") + np.timedelta64(hours, "h")
    return Predictions(
        prediction_id=list(ids),
        event_time=np.array([answered + np.timedelta64(days, "D") for days in range(rows)]),
        answered_at=np.full(rows, answered),
        key=[f"key {one}" for one in ids],
        unit=[f"key {one}" for one in ids],
        release=[3] * rows,
        routed=["champion"] * rows,
        variant=["champion"] * rows,
        model=["m"] * rows,
        version=[1] * rows,
        prediction=np.full(rows, 0.5, np.float32),
        latency_ms=[1.0] * rows,
        error=[None] * rows,
        mirror_prediction=[None] * rows,
        mirror_latency_ms=[None] * rows,
        mirror_error=[None] * rows,
        features={"weight": np.full(rows, 2.0, np.float32), "depot": np.array(["a"] * rows, dtype=object)},
    )


@pytest.fixture
def objects(tmp_path):
    return FileObjects(tmp_path)


def writer(objects, seconds=60.0, rows=1000):
    return LogWriter(objects, "dev", seconds, rows)


@pytest.mark.parametrize("at_once", [True, False])
def test_models_of_other_features_share_a_log(objects, at_once):
    """One model has ``depot`` as text and ``weight``, the next one ``depot`` as a number and ``hour``."""
    log, reader = writer(objects), LogReader(objects, "dev")
    log.append(predictions("a"))
    if not at_once:
        log.flush()
    features = {"depot": np.array([1.5, np.nan], np.float32), "hour": np.array([7.0, 8.0], np.float32)}
    log.append(predictions("b", "c")._replace(features=features))
    log.close()
    rows = {row["prediction_id"]: row for row in reader.read(START, START + timedelta(days=1)).to_pylist()}
    assert {name: row["feature_weight"] for name, row in rows.items()} == {"a": 2.0, "b": None, "c": None}
    assert {name: row["feature_hour"] for name, row in rows.items()} == {"a": None, "b": 7.0, "c": 8.0}
    table = reader.read(START, START + timedelta(days=1)).sort_by("prediction_id")
    logged = table.rename_columns([name.removeprefix("feature_") for name in table.column_names])
    assert columns(logged.slice(0, 1), {"depot": CATEGORICAL})["depot"].tolist() == ["a"]
    numbers = columns(logged.slice(1), {"depot": NUMERIC})["depot"]
    assert numbers[0] == 1.5
    assert np.isnan(numbers[1])


def test_what_was_answered_can_be_read_back_by_time_and_by_id(objects):
    log, reader = writer(objects), LogReader(objects, "dev")
    log.append(predictions("a", "b"))
    log.append(predictions("c", hours=3))
    log.close()
    assert sorted(reader.read(START, START + timedelta(days=1))["prediction_id"].to_pylist()) == ["a", "b", "c"]
    assert reader.read(START, START + timedelta(hours=1)).num_rows == 2
    assert reader.find("c")["feature_weight"] == 2.0
    assert reader.find("z") is None
    assert reader.days() == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))


def test_a_body_with_a_thousand_days_of_the_client_s_choice_is_one_file(objects):
    log = writer(objects, rows=10_000)
    log.append(predictions(*(str(number) for number in range(1000))))
    log.close()
    assert len(objects.keys("predictions/dev/")) == 1
    assert LogReader(objects, "dev").read(START, START + timedelta(hours=1)).num_rows == 1000


def test_files_are_kept_by_the_day_of_the_answer(objects):
    log = writer(objects)
    log.append(predictions("a"))
    log.append(predictions("b", hours=3))
    log.close()
    days = [key.split("/")[2] for key in objects.keys("predictions/dev/")]
    assert days == ["day=2024-01-01", "day=2024-01-02"]


def test_an_empty_log_reads_as_none(objects):
    assert LogReader(objects, "dev").read(START, START + timedelta(days=1)) is None
    assert LogReader(objects, "dev").days() is None


def test_predictions_are_written_within_the_flush_interval(objects):
    log = writer(objects, seconds=0.05)
    log.append(predictions("a"))
    deadline = time.monotonic() + 10
    while log.pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert LogReader(objects, "dev").find("a")
    log.close()


def test_many_predictions_are_written_before_the_interval_ends(objects):
    log = writer(objects, seconds=60, rows=3)
    log.append(predictions("a", "b", "c"))
    deadline = time.monotonic() + 10
    while log.pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.pending == 0
    log.close()


def test_a_slow_store_holds_back_the_answers_and_loses_none(objects):
    class Slow(FileObjects):
        def write(self, key, data):
            gate.wait(10)
            super().write(key, data)

    gate, slow = threading.Event(), Slow(objects.root)
    log = writer(slow, seconds=0.01, rows=2)

    def ask():
        for n in range(30):
            log.make_room(time.monotonic() + 30)
            log.append(predictions(f"{n}", f"{n}'"))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    assert asking.is_alive(), "twenty rows are pending: whoever asks for more has to wait"
    assert log.pending <= 22
    gate.set()
    asking.join(10)
    log.close()
    assert LogReader(objects, "dev").read(START, START + timedelta(days=1)).num_rows == 60


def test_a_store_that_fails_for_a_while_loses_nothing(objects, caplog):
    class Full(FileObjects):
        def write(self, key, data):
            if failing.is_set():
                raise OSError(28, "No space left on device")
            super().write(key, data)

    failing = threading.Event()
    failing.set()
    log = writer(Full(objects.root), seconds=0.01)
    log.append(predictions("a"))
    log.append(predictions("b", hours=3))
    time.sleep(0.2)
    assert log.pending == 2
    assert "No space left" in caplog.text
    failing.clear()
    log.append(predictions("c"))
    log.close()
    assert log.pending == 0
    read = LogReader(objects, "dev").read(START, START + timedelta(days=1))
    assert sorted(read["prediction_id"].to_pylist()) == ["a", "b", "c"]


def test_when_too_many_wait_for_a_failing_store_whoever_asks_is_reported(objects):
    class Full(FileObjects):
        def write(self, key, data):
            raise OSError(28, "No space left on device")

    log = writer(Full(objects.root), rows=1)
    log.make_room(time.monotonic() + 10)
    log.append(predictions(*(f"{n}" for n in range(10))))
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"No space left on device\) and 10 predictions wait; ask again later"):
            log.make_room(time.monotonic() + 10)


def test_whoever_waits_for_a_slow_store_waits_until_the_deadline(objects):
    class Slow(FileObjects):
        def write(self, key, data):
            gate.wait(10)
            super().write(key, data)

    gate = threading.Event()
    log = writer(Slow(objects.root), rows=1)
    log.append(predictions(*(f"{n}" for n in range(10))))
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"\(the store is slow\) and 10 predictions wait; ask again later"):
        log.make_room(began + 0.3)
    assert 0.3 <= time.monotonic() - began < 5
    gate.set()
    log.make_room(time.monotonic() + 10)
    log.close()
    assert LogReader(objects, "dev").read(START, START + timedelta(days=1)).num_rows == 10


def test_files_have_names_of_their_own_whatever_the_clock_says(objects, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    for name in ("a", "b"):  # in one process: as two of the same id in two containers
        log = writer(objects)
        log.append(predictions(name))
        log.close()
    read = LogReader(objects, "dev").read(START, START + timedelta(days=1))
    assert sorted(read["prediction_id"].to_pylist()) == ["a", "b"]


def test_what_cannot_be_encoded_now_is_kept(objects, monkeypatch, caplog):
    log = writer(objects, seconds=0.01)
    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.write_table", lambda *_, **__: (_ for _ in ()).throw(MemoryError("no memory")))
        log.append(predictions("a"))
        deadline = time.monotonic() + 10
        while "no memory" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    log.close()
    assert LogReader(objects, "dev").find("a")


def test_a_sample_is_the_share_that_the_hash_of_the_ids_chooses():
    ids = [f"{number:032x}" for number in range(10_000)]
    some = sampled(predictions(*ids), 0.3)
    assert len(some.prediction_id) == pytest.approx(3000, abs=150)
    more = sampled(predictions(*ids), 0.6)
    assert set(some.prediction_id) < set(more.prediction_id)
    assert [one.removeprefix("key ") for one in some.key] == some.prediction_id
    assert (
        len(some.answered_at)
        == len(some.event_time)
        == len(some.prediction)
        == len(some.features["depot"])
        == len(some.prediction_id)
    )
    assert sampled(predictions(*ids), 1.0).prediction_id == ids
    assert sampled(predictions(*ids), 0.0).prediction_id == []


def test_nothing_to_log_writes_no_file(objects):
    log = writer(objects)
    log.append(sampled(predictions("a"), 0.0))
    log.close()
    assert objects.keys("predictions/") == []


def test_the_interval_is_from_write_to_write_however_long_a_write_takes(objects):
    class Slow(FileObjects):
        def write(self, key, data):
            began.append(time.monotonic())
            time.sleep(0.2)
            super().write(key, data)

    began = []
    log = writer(Slow(objects.root), seconds=0.3)
    deadline = time.monotonic() + 20
    while len(began) < 5 and time.monotonic() < deadline:
        log.append(predictions(f"{len(began)}"))
        time.sleep(0.01)
    log.close()
    between = sorted(later - earlier for earlier, later in itertools.pairwise(began[:5]))
    assert between[0] < 0.45, "0.3 s, where the write of 0.2 s is not added"


def odd_files():
    """Files that are none of the log, by what they are."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"prediction_id": ["x"], "answered_at": [1]}), sink)
    lacking = sink.getvalue()
    return {
        "empty": b"",
        "text": b"this is no Parquet file, though it may be as long as one",
        "truncated": lacking[:-20],
        "lacking": lacking,
    }


@pytest.mark.parametrize("kind", odd_files())
@pytest.mark.parametrize("columns", [None, ["answered_at", "prediction_id"]])
def test_an_odd_file_is_left_out_and_named(objects, caplog, kind, columns):
    log, reader = writer(objects), LogReader(objects, "dev")
    log.append(predictions("a", "b"))
    log.close()
    (whole,) = objects.keys("predictions/dev/")
    odd = f"{whole.rpartition('/')[0]}/0-odd.parquet"
    objects.write(odd, odd_files()[kind])
    read = reader.read(START, START + timedelta(days=1), columns)
    assert read["prediction_id"].to_pylist() == ["a", "b"]
    assert list(reader.unreadable) == [odd]
    assert odd in caplog.text
    assert reader.find("b")["key"] == "key b"
    assert reader.find("nobody") is None
    (objects.root / odd).unlink()
    assert reader.read(START, START + timedelta(days=1)).num_rows == 2
    assert reader.unreadable == {}


def test_a_column_of_another_type_makes_a_file_odd_and_of_a_feature_not(objects):
    log, reader = writer(objects), LogReader(objects, "dev")
    log.append(predictions("a"))
    log.close()
    (whole,) = objects.keys("predictions/dev/")
    table = pq.read_table(objects.root / whole)
    for name, column in {"version": pa.array(["one"]), "feature_weight": pa.array(["heavy"])}.items():
        sink = io.BytesIO()
        pq.write_table(table.set_column(table.column_names.index(name), name, column), sink)
        objects.write(f"{whole.rpartition('/')[0]}/{name}.parquet", sink.getvalue())
    assert reader.read(START, START + timedelta(days=1))["feature_weight"].to_pylist() == ["2", "heavy"]
    ((key, why),) = reader.unreadable.items()
    assert key.endswith("version.parquet")
    assert why == "its column version is string, not int32"


def test_a_log_of_odd_files_alone_is_empty(objects):
    objects.write("predictions/dev/day=2024-01-01/a.parquet", b"")
    reader = LogReader(objects, "dev")
    assert reader.read(START, START + timedelta(days=1)) is None
    assert len(reader.unreadable) == 1
