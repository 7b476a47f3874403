"""Serialises a step's output: documents as JSON, tables as Arrow, bytes as they are."""

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.config.strict import StrictModel

_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


def encode(value: Any) -> dict[str, bytes]:
    """Turn a step's output into files: a document, a table, bytes, or several of these by name."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    parts = value if isinstance(value, Mapping) else {"output": value}
    return dict(_file(name, part) for name, part in parts.items())


def _file(name: str, value: Any) -> tuple[str, bytes]:
    match value:
        case StrictModel():
            return f"{name}.json", value.to_json()
        case bytes():
            return f"{name}.bin", value
        case pa.Table():
            sink = io.BytesIO()
            with pa.ipc.new_file(sink, value.schema, options=_COMPRESSED) as writer:
                writer.write_table(value)
            return f"{name}.arrow", sink.getvalue()
    raise TypeError(f"a step returned {type(value).__name__}; it may return documents, tables, bytes, or these by name")


def decode(files: Mapping[str, bytes], kind: Any) -> Any:
    """Turn files back into what the step returned; kind is the function's return annotation."""
    fields = getattr(kind, "__annotations__", {}) if hasattr(kind, "_fields") else {}
    parts = {}
    for file, data in files.items():
        name, _, suffix = file.rpartition(".")
        if suffix == "json":
            parts[name] = fields.get(name, kind).from_json(data)
        else:
            parts[name] = data if suffix == "bin" else pa.ipc.open_file(pa.BufferReader(data)).read_all()
    if fields:
        return kind(**parts)
    return parts["output"] if set(parts) == {"output"} else parts
