"""Strict typed documents, which refuse unknown keys: the base of every TOML and JSON file in the project."""

import hashlib
import json
import re
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from pipelines.config.errors import UserError, nearest

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def parse_duration(text: object) -> object:
    """Turn ``"14d"``, ``"2h"``, ``"15m"`` or ``"1d 12h"`` into a timedelta; leave anything else to the type check."""
    if not isinstance(text, str):
        return text
    parts = re.findall(r"(\d+)\s*([dhms])", text)
    if not parts or re.sub(r"\d+\s*[dhms]", "", text).strip():
        raise ValueError(f"{text!r} is not a duration; write for example '14d', '2h', '15m' or '1d 12h'")
    return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole seconds the way :func:`parse_duration` reads it."""
    rest, parts = int(duration.total_seconds()), []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
"""A timedelta of whole seconds, written as ``"14d"`` or ``"1d 12h"``."""


class StrictModel(BaseModel):
    """A frozen document whose unknown keys are errors that name the nearest valid key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants", defer_build=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a document that :meth:`to_json` wrote."""
        return cls.model_validate_json(text)

    def to_json(self) -> bytes:
        """Return the document as canonical JSON: equal documents have equal bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def sha256(self) -> str:
        """Return the SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()


Document = TypeVar("Document", bound=StrictModel)


def parse_toml(text: str, kind: type[Document], source: str) -> Document:
    """Read a TOML text as a strict document.

    Raises:
        UserError: naming ``source``, the key and what is allowed there.
    """
    try:
        data = tomllib.loads(text)
        return kind.model_validate_json(json.dumps(data, default=_iso))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise UserError("\n".join(f"{source}: {line}" for line in explain(error, kind))) from error


def load_toml(path: Path, kind: type[Document]) -> Document:
    """Read a TOML file as a strict document; errors as :func:`parse_toml`, and for a missing file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    return parse_toml(text, kind, str(path))


def _iso(value: object) -> str:
    if isinstance(value, date):  # datetime is a date too
        return value.isoformat()
    raise TypeError(f"cannot write {value!r} as JSON")


def explain(error: ValidationError, kind: type[StrictModel]) -> list[str]:
    """Return a line for each fault of a document: where it is, what it is, and what is allowed there."""

    def line(item: Any) -> str:
        where = ".".join(str(part) for part in item["loc"]) or "top level"
        if item["type"] == "extra_forbidden":
            return f"{where}: unknown key; {nearest(str(item['loc'][-1]), _names_at(kind, item['loc'][:-1]))}"
        message = item["msg"].removeprefix("Value error, ")
        got = "" if isinstance(item["input"], dict | list) or item["type"] == "missing" else f" (got {item['input']!r})"
        return f"{where}: {message}{got}{_HINTS.get(item['type'].partition('_')[0], '')}"

    # Misspelt keys come first, because a missing key often follows from one.
    errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    return list(dict.fromkeys(line(item) for item in errors))


_HINTS = {
    "datetime": "; write a day or a moment, such as 2024-03-01 or 2024-03-01T07:00:00Z",
    "tuple": '; write a list, such as ["one", "other"]',
}


def _names_at(kind: type[StrictModel], path: tuple[Any, ...]) -> set[str]:
    """Return the keys that are valid at a path into a document."""
    here = {kind}
    for part in path:
        fields = [model.model_fields[part] for model in here if part in model.model_fields]
        if fields:  # else the part is a key of a dictionary, a position or a union's tag, and leads no deeper
            here = {model for field in fields for model in _documents_in(field.annotation)}
    return {name for model in here for name in model.model_fields}


def _documents_in(annotation: Any) -> set[type[StrictModel]]:
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return {annotation}
    return {model for inner in get_args(annotation) for model in _documents_in(inner)}
