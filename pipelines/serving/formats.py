"""The formats of answers, and which of them an Accept header asks for."""

import csv
import io
from functools import lru_cache

import msgspec

from pipelines.feature.decode import CSV, FORMATS, JSON
from pipelines.serving.problems import HTTPProblem
from pipelines.serving.service import Answer

COLUMNS = ("prediction", "prediction_id", "model_version", "variant")


@lru_cache(maxsize=256)
def accepted(header: str | None) -> str:
    """Return the format that an Accept header prefers; JSON where it leaves the choice.

    Raises:
        HTTPProblem: 406 when it wants something else.
    """
    wanted = dict(_quality(part) for part in (header or "*/*").split(",") if part.strip())

    def preference(media_type: str) -> float:
        ranges = (media_type, f"{media_type.split('/', maxsplit=1)[0]}/*", "*/*")
        return next((wanted[one] for one in ranges if one in wanted), 0.0)

    best = max(FORMATS, key=preference)  # the first of the best
    if preference(best) <= 0:
        raise HTTPProblem(406, "Not acceptable", f"Answers are {', '.join(FORMATS)}; the request accepts {header}.")
    return best


def encode(answer: Answer, media_type: str) -> bytes:
    """Return an answer as the body of a response."""
    if media_type == JSON:
        return msgspec.json.encode(answer)
    rows = answer.get("predictions", [answer])
    return _csv(rows) if media_type == CSV else _arrow(rows)


def _csv(rows: list[Answer]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _arrow(rows: list[Answer]) -> bytes:
    import pyarrow as pa

    kinds = (pa.float32(), pa.string(), pa.int32(), pa.string())
    table = pa.Table.from_pylist(rows, pa.schema(list(zip(COLUMNS, kinds, strict=True))))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _quality(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    given = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return media_type, float(given)
    except ValueError:
        return media_type, 0.0
