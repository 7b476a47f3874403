"""Derives the data contract of a column from its profile: bounds with a margin, and a comment with what was seen."""

import json
import math
from datetime import datetime

from pipelines.scaffold.profile import ColumnProfile

_FEW = 12  # categories that may be all there are
_OFTEN = 20  # how often each must have been seen on average, to believe so


def declared(column: ColumnProfile, *, unique: bool = False, personal: bool = False, given: str = "") -> str:
    """Return a column as a line of TOML, with the sample's values in a comment."""
    parts = [f'type = "{column.type}"']
    seen = ""
    if unique:
        parts.append("unique = true")
    if personal:
        return f"{column.name} = {{ {parts[0]}, personal = true, nullable = true }} # its values stay out of here"
    if column.missing:
        parts.append("nullable = true")
        seen = f"{column.missing / column.rows:.1%} missing"
    if column.numeric and column.low is not None and column.high is not None:
        assert not isinstance(column.low, datetime) and not isinstance(column.high, datetime), "a number"
        low, high = bounds(column.low, column.high)
        parts += [f"min = {low:.15g}", f"max = {high:.15g}"]
        seen = ", ".join([f"seen: {column.low:g} to {column.high:g}", *([seen] if seen else [])])
    elif is_category(column):
        parts.append(f"values = {toml(list(column.values))}")
    if given and given != column.name:
        parts.append(f"description = {toml(f'{given!r} in the sample.')}")
    return f"{column.name} = {{ {', '.join(parts)} }}" + (f" # {seen}" if seen else "")


def is_category(column: ColumnProfile) -> bool:
    """Return whether the sample probably has all values that exist."""
    return column.type == "string" and 1 <= len(column.values) <= _FEW and column.rows >= _OFTEN * len(column.values)


def bounds(low: float, high: float) -> tuple[float, float]:
    """Return bounds around the range that was seen, wider by half of it on each side; an end at 0 stays at 0."""
    margin = (high - low) / 2 or max(abs(high), 1.0)
    step = 10.0 ** math.floor(math.log10(margin))
    wide_low, wide_high = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    return (0.0 if low == 0 else wide_low), (0.0 if high == 0 else wide_high)


def toml(value: object) -> str:
    """Return a text, or a list of texts, as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)
