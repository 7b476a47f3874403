"""The profile of a sample: the values of each column, and which columns look personal."""

import re
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.scaffold.sample import Sample

KINDS = {"string": "string", "int64": "integer", "double": "float", "bool": "boolean"}
_LOOKED_AT = 1000  # values
_LISTED = 20  # categories

_PERSONAL_NAMES = re.compile(
    r"(^|_)(e_?mail|phone|telephone|tel|mobile|fax|first_?name|last_?name|sur_?name|full_?name|given_?name|"
    r"street|birth_?date|date_of_birth|birthday|ssn|iban|passport|ip_?address)(_|$)"
    r"|^((customer|client|user|person|patient|driver|contact|recipient|employee|owner)_)?name$"
)
_PERSONAL_VALUES = {
    "e-mail addresses": re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}"),
    "phone numbers": re.compile(r"(\+|00|\(?0)[\d\s()/.-]{7,}"),
}
_PERSON = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)?(?: [^\W\d_]\.?)? [^\W\d_]+(?:['-][^\W\d_]+)?")


class ColumnProfile(NamedTuple):
    """A column: its type, missing and distinct values, bounds or categories, and why it looks personal if it does."""

    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    low: float | datetime | None
    high: float | datetime | None
    values: tuple[str, ...]
    examples: tuple[object, ...]
    personal: str

    @property
    def unique(self) -> bool:
        """Whether no value is missing or occurs twice."""
        return self.distinct == self.rows and not self.missing

    @property
    def numeric(self) -> bool:
        """Whether it is a number."""
        return self.type in {"integer", "float"}


def profile(sample: Sample) -> dict[str, ColumnProfile]:
    """Return the profile of each column, by name."""
    return {name: _column(name, sample.rows[name]) for name in sample.rows.column_names}


def _column(name: str, values: pa.ChunkedArray) -> ColumnProfile:
    kind = KINDS.get(str(values.type), "timestamp")
    known = values.drop_null()
    if kind == "float":
        known = known.filter(pc.is_finite(known))
    ordered = kind in {"integer", "float", "timestamp"} and len(known)
    low, high = (bound.as_py() for bound in pc.min_max(known).values()) if ordered else (None, None)
    counts = pc.value_counts(known.combine_chunks())
    by_count = counts.take(pc.array_sort_indices(counts.field("counts"), order="descending"))
    values_by_count = by_count.field("values").slice(0, _LISTED + 1).to_pylist()
    listed = kind == "string" and len(counts) <= _LISTED
    return ColumnProfile(
        name=name,
        type=kind,
        rows=len(values),
        missing=len(values) - len(known),
        distinct=len(counts),
        low=low,
        high=high,
        values=tuple(sorted(values_by_count)) if listed else (),
        examples=tuple(values_by_count[:3]),
        personal=_personal(name, known.slice(0, _LOOKED_AT).to_pylist() if kind == "string" else []),
    )


def _personal(name: str, values: list[str]) -> str:
    """Return why a column looks personal, in a few words, or None."""
    if _PERSONAL_NAMES.search(name):
        return "by its name"
    for what, pattern in _PERSONAL_VALUES.items():
        if _share(values, pattern) > 0.5:
            return f"looks like {what}"
    if len(set(values)) > max(20, len(values) // 4) and _share(values, _PERSON) > 0.8:
        return "looks like names of persons"
    return ""


def _share(values: list[str], pattern: re.Pattern[str]) -> float:
    return sum(bool(pattern.fullmatch(value.strip())) for value in values) / len(values) if values else 0.0
