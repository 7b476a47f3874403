"""Requests that are made to hurt: hostile values in every format, broken bytes, and what is hardly HTTP."""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.feature.decode import ARROW, CSV, JSON

Row = dict[str, Any]

_NUMBERS = [
    0, -1, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 10**25, 253402300800, 253402300799, -62135596801, 1e300, 1e-320, -0.0,
    3.5e38, float("nan"), float("inf"), float("-inf"), True, None,
]  # fmt: skip
_TIMES = [
    "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "1900-01-01T00:00:00Z", "2200-12-31T23:59:59Z", "NaT",
    "2024-02-30T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01T00:00:60Z", "253402300800", "1e10", "-1e308",
    "2024-01-01T00:00:00+99:99", "2024-01-01T00:00:00.1234567890123Z", "292277026596-12-04T15:30:07Z",
]  # fmt: skip
_TEXTS = [
    "", " ", "\0", "\ufeff", "\ud800", "💥" * 50, "a" * 5000, "NaN", "null", "'; DROP TABLE", "=1+1", "../../etc/passwd",
    '"', "\r\n", "1_000", "0x1f", "\uff11\uff12", "%s{}", "[]", "{}",
]  # fmt: skip
_ODD = [[], {}, [[]], {"a": 1}]
_HEADS = [
    b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b"Expect: nonsense", b"Upgrade: h2c", b"Upgrade: websocket",
    b"Host: a\r\nHost: b", b"Content-Type: ", b"Content-Type: \xff\xfe", b"Content-Type: application/json; charset=utf-7",
    b"Accept: ;;;,,,q=", b"Accept: */*;q=nan", b"Accept: text/csv;q=1e400", b"Accept: \xff", b"Content-Encoding: gzip",
    b"Content-Encoding: br", b"X: " + b"y" * 20_000, b"No-Colon", b": empty", b" folded", b"X\0Y: z", b"Connection: upgrade",
    b"Range: bytes=0-", b"If-None-Match: *",
]  # fmt: skip
_PATHS = [
    b"/", b"/ping", b"/live", b"/ready", b"/metrics", b"/openapi.json", b"/invocations/", b"//invocations", b"/%69nvocations",
    b"/invocations?explain=true", b"/invocations?explain=maybe", b"/invocations?%ff=%00&explain", b"/../invocations",
    b"/\xff\xfe", b"*", b"http://x/invocations", b"/" + b"a" * 9000, b"/ping?\0", b"",
]  # fmt: skip
_METHODS = [
    b"POST",
    b"GET",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PATCH",
    b"post",
    b"X" * 300,
]
_ARROW = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.string(),
    pa.large_string(), pa.binary(), pa.string_view(), pa.date32(), pa.date64(), pa.time64("ns"), pa.duration("s"),
    pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC"), pa.timestamp("us", "Europe/Berlin"),
    pa.timestamp("us", "Nowhere/None"), pa.decimal128(38, 5), pa.list_(pa.int8()), pa.dictionary(pa.int8(), pa.string()),
]  # fmt: skip


class Hostile(NamedTuple):
    """The bytes of one request, their kind, and whether they are whole HTTP, so that an answer must come."""

    kind: str
    sent: bytes
    whole: bool


def requests(rows: Sequence[Row], seed: int) -> Iterator[Hostile]:
    """Yield requests without end, made from valid rows; the same for the same seed."""
    rng = random.Random(seed)
    while True:
        kind = rng.choice((JSON, CSV, ARROW))
        some = [dict(rng.choice(rows)) for _ in range(rng.choice((1, 1, 2, 5, 20)))]
        if rng.random() < 0.6:
            _spoil(rng, some)
        body = {JSON: _json, CSV: _csv, ARROW: _arrow}[kind](rng, some)
        if rng.random() < 0.3:
            body = _broken(rng, body)
        if rng.random() < 0.15:
            yield Hostile("HTTP", _hardly_http(rng, kind, body), whole=False)
        else:
            yield Hostile(kind, _http(rng, kind, body), whole=True)


def _spoil(rng: random.Random, rows: list[Row]) -> None:
    """Put hostile values, names and gaps into rows."""
    names = [*rows[0], "extra", "", "instances", "\0"]
    for _ in range(rng.randint(1, 3)):
        row, name = rng.choice(rows), rng.choice(names)
        if rng.random() < 0.15:
            row.pop(name, None)
        else:
            row[name] = rng.choice(rng.choice((_NUMBERS, _TIMES, _TEXTS, _ODD)))


def _json(rng: random.Random, rows: list[Row]) -> bytes:
    given: Any = rows[0] if len(rows) == 1 and rng.random() < 0.5 else {"instances": rows}
    text = json.dumps(given, default=_isoformat, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.05:
        text = rng.choice(("[" * 5000, '{"instances":' * 5000, text * 2, text.replace(":", ":" * 2, 1), "1e400", "nul"))
    return text.encode("utf-8", "surrogatepass")


def _csv(rng: random.Random, rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    quote = rng.choice(('"', "", "'"))
    lines = [",".join(names)]
    lines += [",".join(f"{quote}{_text(row.get(name))}{quote}" for name in names) for row in rows]
    return rng.choice(("\n", "\r\n", "\r")).join(lines).encode("utf-8", "surrogatepass")


def _arrow(rng: random.Random, rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(rng, [row.get(name) for row in rows]) for name in names}
    sink, compression = pa.BufferOutputStream(), rng.choice((None, None, None, "zstd", "lz4"))
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as stream:
        stream.write_table(table, max_chunksize=rng.choice((1, 1000)))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _column(rng: random.Random, values: list[Any]) -> pa.Array:
    kinds = [rng.choice(_ARROW)] if rng.random() < 0.1 else []
    for kind in [*kinds, None, pa.string()]:
        try:
            column = pa.array(values, kind)
            return column.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(column.type) and not kind else column
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    if rng.random() < 0.5:
        return pa.array([rng.choice((2**62, -(2**62), 0))] * len(values), pa.int64()).cast(pa.timestamp("us", "UTC"))
    return pa.array([_text(value).encode("utf-8", "replace").decode() for value in values])


def _broken(rng: random.Random, body: bytes) -> bytes:
    """Replace, insert, repeat or cut off bytes."""
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at:at] = rng.choice((b"\0", b"\xff" * 4, b'"', b",", b"\n", rng.randbytes(8)))
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(64)]
            case 3 if rng.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def _http(rng: random.Random, kind: str, body: bytes) -> bytes:
    heads = [b"POST /invocations" + rng.choice((b"", b"", b"", b"?explain=true")) + b" HTTP/1.1", b"Host: x"]
    heads += [b"Connection: close", b"Content-Type: " + kind.encode()]
    if rng.random() < 0.2:
        heads.append(b"Accept: " + rng.choice((JSON, CSV, ARROW, "image/png", "*/*;q=0")).encode())
    if rng.random() < 0.1:
        heads.append(b"Content-Encoding: gzip")
        body = gzip.compress(body) if rng.random() < 0.7 else _broken(rng, gzip.compress(body))
    if rng.random() < 0.1:
        cut = rng.randrange(len(body) + 1)
        pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        return b"\r\n".join([*heads, b"Transfer-Encoding: chunked", b"", chunked])
    return b"\r\n".join([*heads, b"Content-Length: %d" % len(body), b"", body])


def _hardly_http(rng: random.Random, kind: str, body: bytes) -> bytes:
    line = b" ".join((rng.choice(_METHODS), rng.choice(_PATHS), rng.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b""))))
    if rng.random() < 0.5:
        line = b"POST /invocations HTTP/1.1"
    heads = [line, b"Host: x", b"Content-Type: " + kind.encode(), *rng.sample(_HEADS, rng.randint(0, 3))]
    if rng.random() < 0.7:
        heads.append(b"Content-Length: %d" % len(body))
    whole = b"\r\n".join([*heads, b"", body])
    match rng.randrange(6):
        case 0:
            return _broken(rng, whole[:200]) + whole[200:]
        case 1:
            return whole * 3
        case 2:
            return rng.randbytes(rng.randint(1, 300))
        case 3:
            return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(40)
    return whole


def _text(value: Any) -> str:
    return "" if value is None else str(_isoformat(value))


def _isoformat(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
