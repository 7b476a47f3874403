"""Values at the door: what each becomes in its declared type, and what is refused with an example."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import Column, DataError
from pipelines.feature.conversion import declared

UTC_NS = pa.timestamp("ns", "UTC")


def entered(values, kind, arrow_type=None):
    """Return what values are after the door, in a column of a declared type."""
    rows = pa.table({"v": pa.array(values, arrow_type)})
    return declared("t", rows, {"v": Column(type=kind)})["v"].to_pylist()


@given(
    st.integers(1, 38).flatmap(
        lambda digits: st.tuples(
            st.just(digits),
            st.integers(0, digits),
            st.lists(st.integers(-(10**digits) + 1, 10**digits - 1), min_size=1, max_size=30),
        )
    )
)
def test_a_decimal_becomes_the_float_that_is_nearest_to_it(given_decimals):
    digits, scale, units = given_decimals
    values = [Decimal(f"{unit}E-{scale}") for unit in units]
    assert entered(values, "float", pa.decimal128(digits, scale)) == [float(value) for value in values]


def test_the_decimal_0_83_is_not_greater_than_0_83():
    assert entered([Decimal("0.83")], "float", pa.decimal128(10, 2)) == [0.83]
    assert entered([Decimal("0.83")], "float", pa.decimal256(40, 2)) == [0.83]


@pytest.mark.parametrize("kind", ["string", "float", "integer", "boolean"])
@pytest.mark.parametrize("arrow_type", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_nan_is_null_in_every_type(kind, arrow_type):
    values = entered([np.float16("nan"), np.float16(1)], kind, arrow_type)
    assert values == [None, {"string": "1", "boolean": True}.get(kind, 1)]


def test_nan_as_text_is_null_in_a_float_column():
    assert entered(["nan", "NaN", "2.5", None], "float") == [None, None, 2.5, None]


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table], ids=["pandas", "Arrow"])
def test_nan_of_a_data_frame_is_null(make):
    rows = declared("t", make({"v": np.array([math.nan, 0.5])}), {"v": Column(type="float")})
    assert rows["v"].to_pylist() == [None, 0.5]


@pytest.mark.parametrize(
    ("values", "arrow_type", "kind", "expected"),
    [
        ([2**60], pa.int64(), "string", [str(2**60)]),
        ([2**64 - 1], pa.uint64(), "string", [str(2**64 - 1)]),
        ([1e10, None, 7.0], pa.float64(), "string", ["10000000000", None, "7"]),
        ([2**53, -(2**53)], pa.int64(), "integer", [2**53, -(2**53)]),
        ([2**53], pa.uint64(), "float", [2.0**53]),
        ([0, 1], pa.int8(), "boolean", [False, True]),
        (["a"], pa.dictionary(pa.int8(), pa.string()), "string", ["a"]),
        (["a"], pa.string_view(), "string", ["a"]),
        ([None], pa.null(), "float", [None]),
        ([date(2024, 1, 2)], pa.date32(), "timestamp", [datetime(2024, 1, 2, tzinfo=UTC)]),
        ([1_704_067_200_000_000_999], UTC_NS, "timestamp", [datetime(2024, 1, 1, tzinfo=UTC)]),
        ([datetime(1900, 1, 1, tzinfo=UTC)], None, "timestamp", [datetime(1900, 1, 1, tzinfo=UTC)]),
        ([], pa.float64(), "integer", []),
    ],
)
def test_a_value_that_a_type_holds_comes_in_whole(values, arrow_type, kind, expected):
    assert entered(values, kind, arrow_type) == expected


@pytest.mark.parametrize(
    ("values", "arrow_type", "kind", "message"),
    [
        ([1.0, math.inf], pa.float64(), "float", "t.v: must be finite (for example inf in row 1)"),
        (["-inf"], None, "float", "t.v: must be finite (for example '-inf' in row 0)"),
        ([math.inf], pa.float64(), "integer", "t.v: must be an integer (for example inf in row 0)"),
        ([1, 2**53 + 1], pa.int64(), "integer", f"declare an id as a string, which keeps every digit) (for example {2**53 + 1} in row 1)"),
        ([1, 2**60], pa.int64(), "float", f"declare an id as a string, which keeps every digit) (for example {2**60} in row 1)"),
        ([2**63], pa.uint64(), "integer", f"for example {2**63} in row 0)"),
        ([1.5], pa.float64(), "integer", "t.v: must be an integer (for example 1.5 in row 0)"),
        ([Decimal("2.5")], None, "integer", "for example Decimal('2.5') in row 0)"),
        ([0, 1, 2], pa.int64(), "boolean", "t.v: must be a boolean: true, false, 0 or 1 (for example 2 in row 2)"),
        ([5], pa.int64(), "timestamp", "t.v: must be a timestamp, and is int64"),
        ([[1]], None, "float", "t.v: must be a float, and is list<item: int64>"),
        ([[1]], None, "string", "t.v: must be a string, and is list<item: int64>"),
        ([{"a": 1}], None, "string", "t.v: must be a string, and is struct"),
        ([b"\xff"], pa.binary(), "string", "t.v: must be a string (for example b'\\xff' in row 0)"),
        (["2024-01-01"], None, "timestamp", "t.v: must be a timestamp (for example '2024-01-01' in row 0)"),
        ([datetime(9999, 12, 31, tzinfo=UTC)], None, "timestamp", "t.v: must lie within the years 1900 to 2200; a time that stands for none is null (for example 9999-12-31T00:00:00+00:00 in row 0)"),
        ([datetime(1, 1, 1, tzinfo=UTC)], None, "timestamp", "for example 0001-01-01T00:00:00+00:00 in row 0)"),
        ([datetime(2300, 1, 1, tzinfo=UTC)], None, "timestamp", "for example 2300-01-01T00:00:00+00:00 in row 0)"),
        ([2**62], pa.timestamp("s", "UTC"), "timestamp", f"t.v: must be a timestamp (for example {2**62} in row 0)"),
    ],
)  # fmt: skip
def test_a_value_that_no_type_holds_is_refused_with_an_example(values, arrow_type, kind, message):
    with pytest.raises(DataError) as error:
        entered(values, kind, arrow_type)
    assert message in str(error.value)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match=r"t\.v: 2 columns have this name"):
        declared("t", pa.table([[1], [2]], names=["v", "v"]), {"v": Column(type="integer")})


def test_what_is_no_table_is_refused():
    with pytest.raises(DataError, match="t cannot be read: it is a int, not a table"):
        declared("t", 3, {"v": Column(type="integer")})


def test_every_column_that_cannot_be_read_is_named():
    rows = pa.table({"v": ["x"], "w": [math.inf]})
    with pytest.raises(DataError) as error:
        declared("t", rows, {"v": Column(type="float"), "w": Column(type="float")})
    assert "t.v: must be a float" in str(error.value)
    assert "t.w: must be finite" in str(error.value)
