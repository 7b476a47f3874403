"""Arguments of components are given by name alone: two of the same type cannot be swapped in silence."""

import dataclasses
import importlib
import pkgutil

import pytest

import infra

pytestmark = pytest.mark.infra


def components():
    """Return every ``…Args`` of infra."""
    modules = [one.name for one in pkgutil.walk_packages(infra.__path__, "infra.") if "__main__" not in one.name]
    found = [value for name in modules for value in vars(importlib.import_module(name)).values()]
    return {one for one in found if isinstance(one, type) and one.__name__.endswith("Args")}


def test_arguments_of_components_are_frozen_and_given_by_name():
    assert len(components()) > 20
    for one in components():
        assert one.__dataclass_params__.frozen, f"{one.__name__} is not frozen"
        loose = [each.name for each in dataclasses.fields(one) if not each.kw_only]
        assert not loose, f"{one.__name__} takes {loose} by position: make it @dataclass(frozen=True, kw_only=True)"
