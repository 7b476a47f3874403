"""Holds what AWS is asked against botocore's models of its services, as far as AWS itself does.

botocore checks names and types of arguments before it sends them, and lengths of texts by their minimum alone. It leaves
patterns, enumerations and maximal lengths to AWS, which an emulator seldom checks. They are part of the same models,
which AWS publishes (https://github.com/boto/botocore/tree/develop/botocore/data).
"""

import functools
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import botocore.session
import regex


@functools.cache
def _session() -> Any:
    return botocore.session.get_session()


@functools.cache
def model(service: str) -> Any:
    """Return botocore's model of a service, by the name that a client of it is made with."""
    return _session().get_service_model(service)


def faults(service: str, operation: str, given: Mapping[str, Any]) -> list[str]:
    """Return what a request would be refused for, each as ``service.Operation: path: reason``."""
    shape = model(service).operation_model(operation).input_shape
    if shape is None:
        return [f"{service}.{operation} takes nothing"] if given else []
    return [f"{service}.{operation}: {fault.removeprefix('.')}" for fault in of_shape(shape, given, "")]


def of_shape(shape: Any, value: Any, path: str, *, whole: bool = True) -> Iterator[str]:
    """Yield what is wrong with a value of a shape; unless ``whole``, members that it needs may be missing."""
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(shape, value, path, whole)
    elif kind == "list":
        yield from _bounded(shape, len(value), f"{path} has", "items")
        for number, item in enumerate(value):
            yield from of_shape(shape.member, item, f"{path}[{number}]", whole=whole)
    elif kind == "map":
        yield from _bounded(shape, len(value), f"{path} has", "entries")
        for key, item in value.items():
            yield from of_shape(shape.key, key, f"{path}.{key} (the key)", whole=whole)
            yield from of_shape(shape.value, item, f"{path}.{key}", whole=whole)
    else:
        yield from _scalar(shape, value, path)


def _scalar(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "string":
        yield from _text(shape, value, path)
    elif kind in {"integer", "long", "float", "double"}:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path} is the {type(value).__name__} {value!r}, no number"
        else:
            yield from _bounded(shape, value, f"{path} is", "")
    elif kind == "blob" and isinstance(value, (bytes, str)):
        yield from _bounded(shape, len(value), f"{path} has", "bytes")
    elif kind == "boolean" and not isinstance(value, bool):
        yield f"{path} is {value!r}, neither true nor false"
    elif kind == "timestamp" and not isinstance(value, (datetime, str, int, float)):
        yield f"{path} is {value!r}, no time"


def _structure(shape: Any, value: Any, path: str, whole: bool) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    if not isinstance(value, Mapping):
        yield f"{path} is {value!r}, no {shape.name}"
        return
    tokens = {name for name, member in shape.members.items() if member.metadata.get("idempotencyToken")}
    if whole:
        yield from (f"{path}.{name} is missing" for name in shape.required_members if name not in {*value, *tokens})
    for name, item in value.items():
        if name not in shape.members:
            yield f"{path}.{name} is not known: {shape.name} has {', '.join(sorted(shape.members))}"
        else:
            yield from of_shape(shape.members[name], item, f"{path}.{name}", whole=whole)


def _text(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path} is the {type(value).__name__} {value!r}, no text"
        return
    shown = value if len(value) <= 60 else f"{value[:57]}…"
    yield from _bounded(shape, len(value), f"{path} {shown!r} has", "characters")
    if shape.enum and value not in shape.enum:
        yield f"{path} {shown!r} is none of {', '.join(shape.enum[:12])}"
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(value):
        yield f"{path} {shown!r} does not match {pattern}"


def _bounded(shape: Any, size: float, said: str, unit: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{said} {size:g} {unit}".rstrip() + f", and {least} is the least"
    if most is not None and size > most:
        yield f"{said} {size:g} {unit}".rstrip() + f", and {most} is the most"


@functools.cache
def compiled(pattern: str) -> Any:
    """Return a pattern of the models, which are Java's, as one of Python's: it must match the whole text."""
    for java, python in (
        (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"),  # pairs of surrogates
        (r"\z", r"\Z"),
        (r"[\w-_", r"[\w\-_"),
        (r"[\w-\/", r"[\w\-\/"),
        ("(?i)", ""),
    ):
        pattern = pattern.replace(java, python)
    return regex.compile(pattern)
