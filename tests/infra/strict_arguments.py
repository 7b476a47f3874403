"""Holds what programs give to the SDKs of Pulumi against the SDKs' own types, nested dictionaries included.

The SDKs check the names of a resource's own arguments and nothing below them: a misspelt key of a nested dictionary
reaches the provider. mypy skips the SDKs, whose types take it minutes. Here each resource is checked as it is made.
"""

import collections.abc
import contextlib
import functools
import inspect
import types
import typing

import pulumi
from pulumi import _types

from infra.aws.config import decoded

SCALARS = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


class WrongArgument(TypeError):
    """A resource was given what its SDK does not know, or of another type."""


@contextlib.contextmanager
def strict():
    """Have every custom resource that is made in the block checked; outputs when their values are known."""
    unchecked = pulumi.CustomResource.__init__

    @functools.wraps(unchecked)
    def checked(self, t, name, props=None, *args, **kwargs):
        if hasattr(type(self), "_internal_init"):
            known = _arguments(type(self))
            written = isinstance(self, pulumi.ProviderResource)  # its SDK writes what is no text as JSON
            for key, value in vars(props).items():
                if key in known:
                    read = value.apply(decoded) if written and isinstance(value, pulumi.Output) else value
                    check(f"{t} {name}: {key}", read, known[key])
        unchecked(self, t, name, props, *args, **kwargs)

    pulumi.CustomResource.__init__ = checked
    try:
        yield
    finally:
        pulumi.CustomResource.__init__ = unchecked


def check(where, value, wanted):
    """Raise for a value that is not of a type of an SDK, at any depth.

    Raises:
        WrongArgument: naming the resource, the path to the value, and what is known there.
    """
    if value is None or isinstance(value, (pulumi.Asset, pulumi.Archive)):
        return
    if isinstance(value, pulumi.Output):
        value.apply(lambda found: check(where, found, wanted))
        return
    options = _options(wanted)
    if typing.Any in options:
        return
    if isinstance(value, collections.abc.Mapping):
        _check_mapping(where, value, options)
    elif isinstance(value, (list, tuple)):
        _check_list(where, value, options)
    elif _types.is_input_type(type(value)):
        if type(value) not in options:
            raise WrongArgument(f"{where} is a {type(value).__name__}, not {_told(options)}")
    elif not any(type(value) in SCALARS.get(_scalar(one), ()) for one in options):
        raise WrongArgument(f"{where} is the {type(value).__name__} {value!r}, not {_told(options)}")


def _check_mapping(where, value, options):
    (kind,) = [one for one in options if _types.is_input_type(one)] or [None]
    if kind is None:
        items = [typing.get_args(one)[1] for one in options if typing.get_origin(one) is collections.abc.Mapping]
        if not items:
            raise WrongArgument(f"{where} is a dictionary, not {_told(options)}")
        for key, item in value.items():
            check(f"{where}.{key}", item, items[0])
        return
    known, required = _fields(kind)
    for key, item in value.items():
        if key not in known:
            raise WrongArgument(f"{where}.{key} is not known: {kind.__name__} has {', '.join(sorted(known))}")
        check(f"{where}.{key}", item, known[key])
    for names in required:
        if not names & set(value):
            raise WrongArgument(f"{where} has no {min(names)}, which {kind.__name__} needs")


def _check_list(where, value, options):
    items = [typing.get_args(one)[0] for one in options if typing.get_origin(one) is collections.abc.Sequence]
    if not items:
        raise WrongArgument(f"{where} is a list, not {_told(options)}")
    for number, item in enumerate(value):
        check(f"{where}[{number}]", item, items[0])


@functools.cache
def _arguments(resource):
    """Return the types of a resource's arguments, by name."""
    return _hints(resource._internal_init)


def _hints(made_by):
    return typing.get_type_hints(made_by, localns={"Output": pulumi.Output, "T": typing.Any})  # Input[…] names both


@functools.cache
def _fields(kind):
    """Return the types of the fields of an input type, by each name they go by, and the names of those it needs."""
    hints, renamed = _hints(kind.__init__), _types.input_type_py_to_pulumi_names(kind)
    parameters = {name: one for name, one in inspect.signature(kind.__init__).parameters.items() if name in hints}
    names = {name: {name, renamed.get(name, name)} for name in parameters}
    known = {alias: hints[name] for name in parameters for alias in names[name]}
    return known, [names[name] for name, one in parameters.items() if one.default is inspect.Parameter.empty]


def _options(wanted):
    """Return the alternatives of a type, without those that only say that it may come later or not at all."""
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return {one for option in typing.get_args(wanted) for one in _options(option)}
    if typing.get_origin(wanted) in (collections.abc.Awaitable, pulumi.Output) or wanted is type(None):
        return set()
    return {wanted}


def _scalar(option):
    """Return the Python type of a literal's or an enumeration's values, and any other type as it is."""
    if typing.get_origin(option) is typing.Literal:
        return type(typing.get_args(option)[0])
    return next((one for one in SCALARS if isinstance(option, type) and issubclass(option, one)), option)


def _told(options):
    return " or ".join(sorted(getattr(one, "__name__", str(one)) for one in options))
