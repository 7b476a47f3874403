import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="the extra torch is not installed; make test-torch runs these")

from pipelines.adapters.local.catalog import sqlite_catalog
from pipelines.neural import regressor, stream
from pipelines.neural.encode import Encoding
from pipelines.neural.stream import Stream, row_sample
from pipelines.storage.tables import TIMESTAMP, Tables
from tests.conftest import HISTORY, NOW
from tests.neural.rows import FEATURES, SMALL, rows

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path):
    """Three files of 1000 rows in row groups of 100; the label is the row's number."""
    names = []
    for number in range(3):
        X, _ = rows(1000, seed=number)
        X["depot"] = X["depot"].where(X["depot"] != "", None)
        X["label"] = np.arange(1000.0) + 1000 * number
        names.append(f"{tmp_path}/{number}.parquet")
        pq.write_table(pa.Table.from_pandas(X, preserve_index=False), names[-1], row_group_size=100)
    return names


@pytest.fixture(autouse=True)
def small_pool(monkeypatch):
    monkeypatch.setattr(stream, "POOL", 400)


def opened(files):
    encoding = Encoding.fit(rows(1000)[0], FEATURES, 4, 0)
    return Stream(files, encoding, "label", 0.0, 1.0, CPU, 0), encoding


def labels(given, *arguments):
    return [batch.labels for batch in given.batches(*arguments)]


def test_a_pass_has_every_row_once_in_an_order_of_its_own(files):
    given, _ = opened(files)
    first, second = (torch.cat(labels(given, epoch, 100, 0, 0, 1)) for epoch in (0, 1))
    assert given.rows == given.steps(100, 1) * 100 == 3000
    assert torch.equal(first.sort().values, torch.arange(3000.0))
    assert not torch.equal(first, second)
    assert len(set((first[:100] // 100).tolist())) > 1, "a batch has rows of several row groups"


def test_a_resumed_pass_goes_on_where_it_was(files):
    given, _ = opened(files)
    whole = labels(given, 0, 130, 0, 0, 1)
    rest = labels(given, 0, 130, 20, 0, 1)
    assert len(rest) == len(whole) - 20
    assert all(torch.equal(*pair) for pair in zip(rest, whole[20:], strict=True))


def test_processes_get_rows_of_their_own_and_equally_many_batches(files):
    given, _ = opened(files)
    shares = [torch.cat(labels(given, 0, 260, 0, rank, 2)) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == 130 * given.steps(260, 2)
    assert not set(shares[0].tolist()) & set(shares[1].tolist())


def test_rows_are_encoded_as_in_memory_and_a_null_is_the_empty_text(files):
    given, encoding = opened(files)
    batch = next(iter(given.batches(0, 100, 0, 0, 1)))
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    frame["depot"] = frame["depot"].fillna("")
    expected = encoding(frame.iloc[batch.labels.long().numpy()])
    np.testing.assert_array_equal(batch.codes.numpy(), expected.codes)
    np.testing.assert_array_equal(batch.numbers.numpy(), expected.numbers)


def test_waiting_for_a_slow_disk_is_measured(files, monkeypatch):
    read = stream.read_group
    monkeypatch.setattr(stream, "read_group", lambda *given: time.sleep(0.02) or read(*given))
    given, _ = opened(files)
    labels(given, 0, 100, 0, 0, 1)
    assert given.stalled > 0.3


def test_an_error_of_the_reader_reaches_training(files):
    given, _ = opened(files)
    with Path(files[1]).open("r+b") as file:
        file.write(b"\0" * 4000)
    with pytest.raises(Exception, match=r"(?i)parquet|thrift|snappy|deserialize|corrupt"):
        labels(given, 0, 100, 0, 0, 1)


def test_whoever_stops_listening_leaves_no_thread_behind(files):
    import threading

    given, _ = opened(files)
    before = threading.active_count()
    batches = given.batches(0, 10, 0, 0, 1)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_a_network_learns_from_files_what_it_learns_in_memory(tmp_path):
    X, quantity = rows(4000)
    file = f"{tmp_path}/rows.parquet"
    pq.write_table(pa.Table.from_pandas(X.assign(y=quantity), preserve_index=False), file, row_group_size=500)
    held_X, held = rows(1000, seed=1)
    given = {**SMALL, "epochs": 15, "learning_rate": 0.01}
    streamed = regressor(FEATURES, 7, **given).fit_files([file], "y", held_X, held)
    resident = regressor(FEATURES, 7, **given).fit(X, quantity)
    errors = [np.abs(one.predict(held_X) - held).mean() for one in (streamed, resident)]
    assert errors[0] == pytest.approx(errors[1], rel=0.15)
    assert errors[0] < 0.7
    assert streamed.history.stalled > 0


def test_an_iceberg_table_is_streamed_from_its_files(tmp_path):
    tables = Tables(lambda: sqlite_catalog(tmp_path))
    X, _ = rows(1000)
    times = pd.date_range(HISTORY, NOW, 1000).astype("datetime64[us, UTC]")
    table = pa.Table.from_pandas(X.assign(label=np.arange(1000.0)), preserve_index=False)
    tables.overwrite("raw.rows", table.append_column("at", pa.array(times, TIMESTAMP)), "at", HISTORY, NOW)
    addresses = tables.files("raw.rows")
    assert len(addresses) == 2, "a file for each month"
    given, _ = opened(addresses)
    assert torch.equal(torch.cat(labels(given, 0, 100, 0, 0, 1)).sort().values, torch.arange(1000.0))
    assert row_sample(addresses, ["label"], 0).num_rows == given.rows == 1000
