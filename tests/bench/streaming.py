"""Training from files against training from memory: rows a second, time spent waiting, and memory."""

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.benchmarks import Row
from tests.bench.training import FEATURES, ROWS, made_rows


def measure_streaming() -> Iterator[Row]:
    """A pass over Parquet files and over the same rows in memory, by the same network."""
    if find_spec("torch") is None:
        yield Row("streaming", "torch is not installed: 'make bench-training' installs it")
        return
    from pipelines.neural import classifier

    X, y = made_rows()
    held = slice(int(0.9 * ROWS), ROWS)
    with tempfile.TemporaryDirectory() as folder:
        table = pa.Table.from_pandas(X.assign(label=y)[: held.start], preserve_index=False)
        pq.write_table(table, f"{folder}/rows.parquet", row_group_size=16_384)
        streamed = classifier(FEATURES, 0, epochs=2).fit_files([f"{folder}/rows.parquet"], "label", X[held], y[held])
    resident = classifier(FEATURES, 0, epochs=2).fit(X, y)
    rates = [one.history.rows / one.history.seconds for one in (streamed, resident)]
    stalled = streamed.history.stalled / streamed.history.seconds
    what = f"training from Parquet, {stalled:.1%} of its time waiting for rows"
    yield Row(what, f"{rates[0]:,.0f} rows/s", f"from memory {rates[1]:,.0f} rows/s", f"{rates[0] / rates[1]:.2f}")
