import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import CATEGORICAL, NUMERIC, Column, RequestFeatures, UserError
from pipelines.feature.decode import RequestDecoder
from pipelines.feature.request import as_input, from_table, request_features

SCHEMA = {
    "id": Column(type="string"),
    "asked": Column(type="timestamp"),
    "depot": Column(type="string", values=("a", "b")),
    "weight": Column(type="float", min=0, max=100),
    "floor": Column(type="integer", nullable=True),
    "fragile": Column(type="boolean", nullable=True),
    "note": Column(type="string", nullable=True),
}
GOOD = {
    "id": "1",
    "asked": "2024-01-01T10:00:00Z",
    "depot": "a",
    "weight": 1.5,
    "floor": 2,
    "fragile": True,
    "note": "x",
}
decode = RequestDecoder(SCHEMA)


def body(*rows):
    return json.dumps({"instances": rows}).encode()


def test_one_request_and_several_are_distinguished():
    fields, single = decode(json.dumps(GOOD).encode())
    assert single
    assert fields["weight"].tolist() == [1.5]
    fields, single = decode(body(GOOD, {**GOOD, "weight": 2}))
    assert not single
    assert fields["weight"].tolist() == [1.5, 2.0]


def test_times_of_any_zone_are_the_same_moment_in_utc():
    fields, _ = decode(body({**GOOD, "asked": "2024-01-01T05:00:00-05:00"}))
    assert fields["asked"][0] == np.datetime64("2024-01-01T10:00:00")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (body(), "Expected `array` of length >= 1"),
        (body({**GOOD, "wieght": 1}), "unknown field `wieght`"),
        (body({name: value for name, value in GOOD.items() if name != "depot"}), "missing required field `depot`"),
        (body({**GOOD, "weight": "heavy"}), "Expected `float`, got `str` - at `$.instances[0].weight`"),
        (body({**GOOD, "weight": -1}), "Expected `float` >= 0"),
        (body({**GOOD, "weight": None}), "Expected `float`, got `null`"),
        (body({**GOOD, "depot": "c"}), "Invalid enum value 'c' - at `$.instances[0].depot`"),
        (body({**GOOD, "asked": "yesterday"}), "Invalid RFC3339"),
        (body({**GOOD, "asked": "2024-01-01T10:00:00"}), "Expected `datetime` with a timezone"),
        (body({**GOOD, "asked": "9999-12-31T23:59:59Z"}), "is no time to predict for"),
        (body({**GOOD, "asked": "0001-01-01T00:00:00+14:00"}), "is no time to predict for"),
        (json.dumps({**GOOD, "weight": float("nan")}).encode(), "the body is not JSON"),
    ],
)
def test_a_bad_request_says_what_is_wrong_and_what_is_wanted(bad, message):
    with pytest.raises(UserError) as error:
        decode(bad)
    assert message in str(error.value)


rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(max_size=5).filter(lambda text: text.isprintable()),
            "asked": st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
            "depot": st.sampled_from(["a", "b"]),
            "weight": st.floats(0, 100),
            "floor": st.none() | st.integers(-5, 200),
            "fragile": st.none() | st.booleans(),
            "note": st.none() | st.text(max_size=5).filter(lambda text: text.isprintable()),
        }
    ),
    min_size=1,
    max_size=8,
)


@given(rows)
def test_a_request_means_the_same_as_json_and_as_a_row_of_a_table(rows):
    arrow = {
        "string": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
        "float": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
    }
    table = pa.table(
        {name: pa.array([row[name] for row in rows], arrow[column.type]) for name, column in SCHEMA.items()}
    )
    sent = json.dumps({"instances": rows}, default=lambda time: time.isoformat()).encode()
    online, offline = decode(sent)[0], from_table(table, SCHEMA)
    for name in SCHEMA:
        assert online[name].dtype == offline[name].dtype
        np.testing.assert_array_equal(online[name], offline[name])


def test_missing_values_become_what_the_model_takes_for_missing():
    assert np.isnan(as_input([None], NUMERIC)[0])
    assert as_input([None, "a"], CATEGORICAL).tolist() == ["", "a"]


def test_a_personal_field_is_accepted_and_goes_no_further():
    schema = {"id": Column(type="string"), "name": Column(type="string", personal=True)}
    fields, _ = RequestDecoder(schema)(b'{"id": "1", "name": "Ada"}')
    assert list(fields) == ["id"]
    assert list(from_table(pa.table({"id": ["1"], "name": ["Ada"]}), schema)) == ["id"]
    by_name = RequestFeatures(features={"who": CATEGORICAL}, compute=lambda request: {"who": request["name"]})
    with pytest.raises(UserError, match="the request features use 'name', which is personal"):
        request_features(by_name, fields)
