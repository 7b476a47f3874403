"""Bodies of every format, good and bad, become the same columns or an error that says what to change."""

import contextlib
import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import Column, UserError
from pipelines.feature.decode import ARROW, CSV, FORMATS, JSON, RequestDecoder, TooManyRows, UnsupportedFormat
from tests.unit.feature.test_request import GOOD, SCHEMA, rows

decode = RequestDecoder(SCHEMA, max_rows=8)
KINDS = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "float": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
}
TIME = datetime(2024, 1, 1, 10, tzinfo=UTC)


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table(*rows):
    return pa.table({name: pa.array([row[name] for row in rows], KINDS[SCHEMA[name].type]) for name in SCHEMA})


def lines(*rows):
    def text(value):
        if value is None:
            return ""
        if isinstance(value, datetime):
            return value.isoformat()
        return str(value).lower() if isinstance(value, bool) else str(value)

    quoted = [['"{}"'.format(text(row[name]).replace('"', '""')) for name in SCHEMA] for row in rows]
    return "\n".join(",".join(line) for line in [list(SCHEMA), *quoted]).encode()


@given(rows)
def test_a_request_means_the_same_in_every_format(rows):
    rows = [
        {**row, "id": row["id"] or "1", "note": row["note"] or None} for row in rows
    ]  # CSV does not tell an empty text from none
    sent = json.dumps({"instances": rows}, default=lambda time: time.isoformat()).encode()
    as_json, _ = decode(sent)
    for fields, single in (decode(lines(*rows), CSV), decode(stream(table(*rows)), ARROW)):
        assert not single
        for name in SCHEMA:
            assert fields[name].dtype == as_json[name].dtype
            np.testing.assert_array_equal(fields[name], as_json[name])


@pytest.mark.parametrize(
    ("content_type", "bad", "message"),
    [
        (JSON, b"", "the body is not JSON"),
        (JSON, b'{"a":' * 100_000, "unknown field `a`"),
        (JSON, b"[" * 1_000_000, "Expected `object`, got `array`"),
        (JSON, b'{"id": ' + b"[" * 1_000_000, "Expected `str`, got `array`"),
        (JSON, b'{"id": "\xff"}', "the body is not JSON"),
        (JSON, b'{"id": "\\ud800"}', "the body is not JSON"),
        (JSON, json.dumps({**GOOD, "floor": 10**400}).encode(), "Expected `int` <= 9007199254740992"),
        (JSON, json.dumps({**GOOD, "floor": 2**60}).encode(), "Expected `int` <= 9007199254740992"),
        (JSON, json.dumps({**GOOD, "weight": 10**400}).encode(), "Number out of range"),
        (JSON, json.dumps(GOOD).replace("1.5", "1e400").encode(), "Number out of range"),
        (JSON, json.dumps(GOOD).replace("1.5", "NaN").encode(), "the body is not JSON"),
        (JSON, b'{"id": "1", "instances": []}', "unknown field `instances`"),
        (CSV, b"", "is empty; name id, asked"),
        (CSV, b"\n", "is empty; name id, asked"),
        (CSV, b"id,askd\n", "names 'askd', which is no field; did you mean 'asked'?"),
        (CSV, b"id,id\n", "names a field twice"),
        (CSV, b"id\n", "Expected `array` of length >= 1"),
        (CSV, b"id\n1\n", "missing required field `asked` - at `$.instances[0]`"),
        (CSV, b"id,asked\n1\n", "$.instances[0] has 1 values; the first line names 2"),
        (CSV, b'id\n"1\n', "the body is not CSV in UTF-8: unexpected end of data"),
        (CSV, b"id\n\xff\n", "the body is not CSV in UTF-8"),
        (CSV, lines(GOOD, {**GOOD, "weight": "nan"}), "Expected `float`, got `null` - at `$.instances[1].weight`"),
        (CSV, lines(GOOD, {**GOOD, "weight": "inf"}), "Expected `float` <= 100.0 - at `$.instances[1].weight`"),
        (CSV, lines({**GOOD, "weight": "1e400"}), "Number out of range - at `$.instances[0].weight`"),
        (CSV, lines({**GOOD, "weight": None}), "Expected `float`, got `null` - at `$.instances[0].weight`"),
        (CSV, lines({**GOOD, "id": None}), "Expected `str`, got `null` - at `$.instances[0].id`"),
        (CSV, lines(GOOD, {**GOOD, "asked": "253402300800"}), "year 10000 is out of range - at `$.instances[1].asked`"),
        (CSV, lines(GOOD, {**GOOD, "asked": "1e10"}), "use the years 1900 to 2200 in UTC - at 'asked' of row 1"),
        (CSV, lines({**GOOD, "asked": "1900-01-01T00:00:00+05:00"}), "use the years 1900 to 2200 in UTC"),
        (JSON, json.dumps({**GOOD, "asked": "0001-01-01T00:00:00+14:00"}).encode(), "use the years 1900 to 2200"),
        (JSON, json.dumps({**GOOD, "asked": "9999-12-31T23:59:59-14:00"}).encode(), "use the years 1900 to 2200"),
        (CSV, lines({**GOOD, "floor": "9" * 5000}), "out of range"),
        (CSV, lines({**GOOD, "asked": "2024-01-01 10:00"}), "Invalid RFC3339"),
        (CSV, lines({**GOOD, "depot": "c"}), "Invalid enum value 'c' - at `$.instances[0].depot`"),
        (ARROW, b"", "the body is not an Arrow IPC stream"),
        (ARROW, stream(table({**GOOD, "asked": TIME}))[:-300], "the body is not an Arrow IPC stream"),
        (ARROW, stream(table({**GOOD, "asked": TIME, "weight": float("nan")})), "Expected `float`, got `null`"),
        (ARROW, stream(table({**GOOD, "asked": TIME, "weight": float("-inf")})), "Expected `float` >= 0.0"),
        (ARROW, stream(pa.table({"wieght": [1.0]})), "'wieght', which is no field; did you mean 'weight'?"),
        (ARROW, stream(pa.table([[1.0], [1.0]], names=["weight", "weight"])), "names a field twice"),
        (ARROW, stream(pa.table({})), "is empty; name id, asked"),
        (ARROW, stream(pa.table({"id": pa.array(["a"]).dictionary_encode()})), "column 'id' is dictionary"),
        (ARROW, stream(pa.table({"id": [["a"]]})), "column 'id' is list<item: string>; cast it"),
        (ARROW, stream(pa.table({"id": ["a"]}), compression="zstd"), "is compressed; send it without"),
        (ARROW, stream(pa.table({"asked": pa.array([0], pa.timestamp("s"))})), "times without a time zone"),
        (ARROW, stream(pa.table({"asked": pa.array([2**62], pa.timestamp("us", "UTC"))})), "is no time to predict for"),
        (ARROW, stream(pa.table({"asked": pa.array([2**62], pa.timestamp("s", "UTC"))})), "not an Arrow IPC stream"),
        (ARROW, stream(pa.table({"weight": pa.array(["1"])})), "Expected `float`, got `str` - at `$.instances[0].weight`"),
        (ARROW, stream(table({**GOOD, "asked": TIME}).drop_columns("weight")), "missing required field `weight`"),
    ],
)  # fmt: skip
def test_a_bad_body_says_what_is_wrong(content_type, bad, message):
    with pytest.raises(UserError) as error:
        decode(bad, content_type)
    assert message in str(error.value)


def test_a_first_field_that_says_instances_is_a_field():
    assert decode(json.dumps({**GOOD, "id": "instances"}).encode())[1]
    assert not decode(b' {\n"instances" : [' + json.dumps(GOOD).encode() + b"]}")[1]


def test_nul_characters_and_a_byte_order_mark_are_text():
    assert decode(json.dumps({**GOOD, "id": "a\0b"}).encode())[0]["id"][0] == "a\0b"
    assert decode(b"\xef\xbb\xbf" + lines({**GOOD, "id": "a\0b"}), CSV)[0]["id"][0] == "a\0b"


def test_columns_of_other_widths_are_numbers_too():
    narrow = table({**GOOD, "asked": TIME}).set_column(3, "weight", pa.array([1.5], pa.float16()))
    narrow = narrow.set_column(4, "floor", pa.array([3], pa.int8()))
    narrow = narrow.set_column(1, "asked", pa.array([TIME], pa.timestamp("ns", "America/New_York")))
    fields, _ = decode(stream(narrow), ARROW)
    assert (fields["weight"][0], fields["floor"][0]) == (1.5, 3.0)
    assert fields["asked"][0] == np.datetime64("2024-01-01T10:00:00")


@pytest.mark.parametrize("content_type", FORMATS)
def test_more_rows_than_a_request_may_have_are_refused(content_type):
    good = {**GOOD, "asked": TIME}
    bodies = {
        JSON: json.dumps({"instances": [GOOD] * 9}).encode(),
        CSV: lines(*[good] * 9),
        ARROW: stream(table(*[good] * 9), compression=None),
    }
    with pytest.raises(TooManyRows, match="one request may have 8 rows"):
        decode(bodies[content_type], content_type)


def test_rows_that_take_no_bytes_are_counted_before_they_are_made():
    body = stream(pa.table({"note": pa.nulls(10**7)}))
    assert len(body) < 1000
    with pytest.raises(TooManyRows):
        decode(body, ARROW)


def test_an_unknown_content_type_names_the_known_ones():
    with pytest.raises(UnsupportedFormat, match="'application/x-npy' is no content type of requests; send application"):
        decode(b"", "application/x-npy")


valid = {
    JSON: json.dumps({"instances": [GOOD, GOOD]}).encode(),
    CSV: lines(GOOD, GOOD),
    ARROW: stream(table({**GOOD, "asked": TIME}, {**GOOD, "asked": TIME})),
}


@st.composite
def mutilated(draw, body):
    """A valid body with some bytes replaced, or cut off."""
    changed = bytearray(body)
    for position in draw(st.lists(st.integers(0, len(body) - 1), max_size=6)):
        changed[position] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(changed)


@settings(max_examples=300)
@given(st.sampled_from(FORMATS).flatmap(lambda kind: st.tuples(st.just(kind), st.binary() | mutilated(valid[kind]))))
def test_arbitrary_bytes_are_decoded_or_refused_and_never_crash(sent):
    content_type, body = sent
    with contextlib.suppress(UserError):
        fields, _ = decode(body, content_type)
        assert np.isfinite(fields["weight"]).all()


def test_an_error_lists_the_fields_and_what_is_allowed_in_them():
    schema = {
        "depot": Column(type="string", values=("berlin", "lyon")),
        "weight": Column(type="float"),
        "note": Column(type="string", nullable=True),
    }
    with pytest.raises(UserError) as error:
        RequestDecoder(schema)(b'{"depot": "rome", "weight": 1}')
    assert "A request carries depot (one of berlin, lyon), weight, note (may be left out);" in str(error.value)
