from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import Duration, StrictModel, UserError, format_duration, parse_toml
from pipelines.config.strict import parse_duration


class Inner(StrictModel):
    colour: str
    limit: float = 1.0


class Outer(StrictModel):
    name: str
    wait: Duration
    inner: Inner
    many: dict[str, Inner] = {}


TOML = """
name = "x"
wait = "1d 12h"
inner = { colour = "red", limit = 2 }
"""


def test_a_valid_text_is_read_with_its_types():
    outer = parse_toml(TOML, Outer, "file.toml")
    assert outer.wait == timedelta(days=1, hours=12)
    assert outer.inner == Inner(colour="red", limit=2.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('nmae = "y"', "file.toml: nmae: unknown key; did you mean 'name'?"),
        ('inner.color = "red"', "file.toml: inner.color: unknown key; did you mean 'colour'?"),
        ('many.a = { colour = "red", limitt = 3 }', "many.a.limitt: unknown key; did you mean 'limit'?"),
        ("zzz = 1", "valid names: inner, many, name, wait"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(line, message):
    text = (
        TOML.replace("inner = {", "inner = {")
        if not line.startswith("inner.")
        else TOML.replace('inner = { colour = "red", limit = 2 }', 'inner.colour = "blue"')
    )
    with pytest.raises(UserError) as error:
        parse_toml(f"{text}\n{line}", Outer, "file.toml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "x"', "name = 3", "name: Input should be a valid string (got 3)"),
        ("limit = 2", 'limit = "2"', "inner.limit: Input should be a valid number (got '2')"),
        ('"1d 12h"', '"soon"', "wait: 'soon' is not a duration"),
        ('name = "x"', "", "name: Field required"),
        ('name = "x"', "name = ", "file.toml is not valid TOML"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(old, new, message):
    with pytest.raises(UserError) as error:
        parse_toml(TOML.replace(old, new), Outer, "file.toml")
    assert message in str(error.value)


@given(st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_a_duration_of_whole_seconds_survives_writing_and_reading(duration):
    whole = timedelta(seconds=int(duration.total_seconds()))
    assert parse_duration(format_duration(whole)) == whole


def test_equal_documents_have_equal_bytes_whatever_their_order():
    one = Outer.from_json('{"name": "x", "wait": "2h", "inner": {"colour": "a", "limit": 1.0}}')
    other = Outer.from_json('{"inner": {"limit": 1.0, "colour": "a"}, "wait": "120m", "name": "x"}')
    assert one.to_json() == other.to_json()
    assert one.sha256() == other.sha256()
    assert Outer.from_json(one.to_json()) == one


def test_what_is_not_a_number_survives_writing_and_reading():
    inner = Inner(colour="a", limit=float("nan"))
    again = Inner.from_json(inner.to_json())
    assert again.limit != again.limit
