"""A batch and the app refuse the same values, and read the others alike."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.batch.requests import checked, chunks, of_file
from pipelines.config import Column, UserError
from pipelines.feature.decode import ARROW, CSV, RequestDecoder
from pipelines.feature.request import from_table

TEXTS = {
    "string": ["", "a", " a ", "nan"],
    "float": ["", "nan", "inf", "1e39", "-3.5e38", "3.4e38", "1e400", "1.", "+1", ".5", " 1", "0x10", "1_000", "1,0", "x"],
    "integer": ["", "1.0", "1.5", "1e3", "9007199254740993", "9007199254740992", "007", "0x1", "9" * 30, "nan", "+1"],
    "boolean": ["", "true", "TRUE", "1", "0", "2", "yes", "nan"],
    "timestamp": [
        "",
        "2013-01-01T00:00:00Z",
        "2013-01-01T00:00:00",
        "2013-01-01",
        "2013-01-01T00:00Z",
        "2013-01-01 00:00:00+0530",
        "2013-01-01T00:00:00.123456789Z",
        "1356998400",
        "1356998400.5",
        "253402300800",
        "1e10",
        "1899-12-31T23:59:59Z",
        "1900-01-01T00:00:00Z",
        "1900-01-01T00:00:00+05:00",
        "2200-12-31T23:59:59.999999Z",
        "2201-01-01T00:00:00Z",
        "9999-12-31T00:00:00Z",
        "NaT",
    ],
}  # fmt: skip
VALUES = {
    "float": [1e39, 3.4e38, float("inf"), float("nan"), None],
    "integer": [2**53, 2**53 + 1, -(2**60), None],
    "timestamp": [datetime(year, 6, 1, tzinfo=UTC) for year in (1899, 1900, 2200, 2201, 9999)],
}


def outcome(read):
    try:
        return repr(read()["v"].tolist()[0])
    except UserError:
        return "refused"


def both(column, file, body, content_type):
    """What becomes of one value in a batch and over HTTP."""
    contract = {"key": Column(type="string"), "v": column}
    problem = SimpleNamespace(config=SimpleNamespace(request_columns=contract))

    def in_batch():
        (rows,) = chunks(of_file(problem, file), 10)
        return from_table(checked(problem, "a file", rows, 1), contract)

    return outcome(in_batch), outcome(lambda: RequestDecoder(contract)(body, content_type)[0])


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TEXTS.items() for text in texts])
def test_a_text_means_the_same_in_a_file_and_in_a_body(kind, text, nullable, tmp_path):
    file, body = tmp_path / "requests.csv", f"key,v\nk,{chr(34) + text + chr(34) if text else ''}\n".encode()
    file.write_bytes(body)
    batch, online = both(Column(type=kind, nullable=nullable), file, body, CSV)
    assert batch == online


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in VALUES.items() for value in values])
def test_a_value_means_the_same_in_parquet_and_in_arrow(kind, value, tmp_path):
    types = {"float": pa.float64(), "integer": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    table, file = pa.table({"key": ["k"], "v": pa.array([value], types[kind])}), tmp_path / "requests.parquet"
    pq.write_table(table, file)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    batch, online = both(Column(type=kind, nullable=True), file, sink.getvalue().to_pybytes(), ARROW)
    assert batch == online
