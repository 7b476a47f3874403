"""Reads Arrow IPC streams from untrusted clients: everything is checked before it is used."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from flatbuffers.encode import Get
from flatbuffers.number_types import UOffsetTFlags
from flatbuffers.table import Table

from pipelines.config import UserError
from pipelines.feature.conversion import without_nan

_RECORD_BATCH_COMPRESSION = 10  # where the vtable has it: org.apache.arrow.flatbuf.RecordBatch, fourth field
_MESSAGE_HEADER = 8  # Message, third field
_MALFORMED = (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, TypeError, IndexError, struct.error)
_UTC = pa.timestamp("us", "UTC")


def arrow_rows(
    body: bytes, check_names: Callable[[list[str], str], None], check_rows: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Return the rows of a stream.

    Columns are plain strings, numbers, booleans or timestamps, not compressed: a small body that is dictionary-encoded
    or compressed can be large in memory, so it is refused before it is read.

    Raises:
        UserError: for a stream that is not valid, or of a kind that is refused.
    """
    try:
        _refuse_compression(body)
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            schema = stream.schema
            check_names(schema.names, "the schema of the Arrow stream")
            _refuse_types(schema)
            return list(_rows(stream, check_rows))
    except _MALFORMED as error:
        raise UserError(f"the body is not an Arrow IPC stream: {error}") from error


def _rows(stream: Any, check_rows: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    count = 0
    for batch in stream:
        check_rows(count + batch.num_rows)
        batch.validate(full=True)
        names = batch.schema.names
        columns = [_values(name, column, count) for name, column in zip(names, batch.columns, strict=True)]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))
        count += batch.num_rows


def _values(name: str, column: pa.Array, first: int) -> list[Any]:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if pa.types.is_floating(column.type):
        column = without_nan(column)
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    if column.type.tz is None:
        raise UserError(f"column {name!r} has times without a time zone; cast it to timestamp with 'UTC'")
    truncating = pc.CastOptions(pa.timestamp("us", column.type.tz), allow_time_truncate=True)
    micros = column.cast(options=truncating).cast(pa.int64())
    return [_time(value, f"$.instances[{first + row}].{name}") for row, value in enumerate(micros.to_pylist())]


def _time(micros: int | None, where: str) -> Any:
    if micros is None:
        return None
    try:
        return pa.scalar(micros, _UTC).as_py()
    except (OverflowError, ValueError) as error:
        raise UserError(f"{micros} microseconds since 1970 is no time to predict for - at `{where}`") from error


def _refuse_types(schema: pa.Schema) -> None:
    kinds = pa.types
    plain = (
        kinds.is_string,
        kinds.is_large_string,
        kinds.is_integer,
        kinds.is_floating,
        kinds.is_boolean,
        kinds.is_timestamp,
        kinds.is_null,
    )
    for field in schema:
        if not any(is_kind(field.type) for is_kind in plain):
            raise UserError(
                f"column {field.name!r} is {field.type}; cast it to a string, number, boolean or timestamp column"
            )


def _refuse_compression(body: bytes) -> None:
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    for message in reader:
        if message.type == "record batch" and _header(message).Offset(_RECORD_BATCH_COMPRESSION):
            raise UserError("the Arrow stream is compressed; send it without compression")


def _header(message: Any) -> Table:
    """Return the flatbuffer table of a message's header; a malformed one raises an error of ``_MALFORMED``."""
    data = message.metadata.to_pybytes()
    root = Table(data, Get(UOffsetTFlags.packer_type, data, 0))
    return Table(data, root.Indirect(root.Pos + root.Offset(_MESSAGE_HEADER)))
