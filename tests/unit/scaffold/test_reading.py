"""The reading rule: a column of text becomes another type only where no value changes, or the change is told."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import WrongUsage
from pipelines.scaffold.reading import READ_AS, read_text
from pipelines.scaffold.sample import Reading, read_sample


def _read(values, how=None, zone="UTC"):
    return read_text("x", pa.chunked_array([pa.array(values, pa.string())]), zone, how)


@pytest.mark.parametrize(
    ("values", "how", "expected", "told"),
    [
        (["NA", "DE"], None, ["NA", "DE"], "NA (1 values) is kept as a text; --missing x=NA"),
        (["NA", "None"], None, ["NA", "None"], "NA or None (2 values) is kept as a text"),
        (["NA", "1"], None, [None, 1], "NA (1 values) is read as missing"),
        (["01", "1"], None, ["01", "1"], "leading zeros, such as 01, are kept"),
        (["01", "1"], "integer", [1, 1], "'01' became 1"),
        ([str(2**64), "1"], None, [str(2**64), "1"], "has more digits than a number holds"),
        ([str(2**63 - 1), "1"], None, [2**63 - 1, 1], ""),
        (["1.5", "2"], None, [1.5, 2.0], ""),
        (["0.83"], None, [0.83], ""),
        (["0.1234567890123456789"], None, [0.12345678901234568], "more digits than a float"),
        (["1,234.50", "12"], None, [1234.5, 12.0], "'1,234.50' is read as 1234.5"),
        (["26,93", "1"], None, [26.93, 1.0], "'26,93' is read as 26.93"),
        (["1.234,5"], None, [1234.5], "'1.234,5' is read as 1234.5"),
        (["41%", "7%"], None, [41.0, 7.0], "'41%' is read as 41"),
        (["41%", "7"], None, ["41%", "7"], "looks like numbers, in several ways"),
        (["$5.50", "-$1"], None, [5.5, -1.0], "is read as 5.5"),
        (["$5.50", "$1"], None, [5.5, 1.0], "'$5.50' is read as 5.5"),
        (["True", "False"], None, [True, False], ""),
        (["yes", "no"], None, ["yes", "no"], ""),
        (["1,234"], "thousands", [1234.0], "'1,234' is read as 1234"),
        (["1,234"], "decimal-comma", [1.234], "'1,234' is read as 1.234"),
        (["5", "6"], "text", ["5", "6"], ""),
    ],
)  # fmt: skip
def test_a_value_is_kept_or_its_change_is_told(values, how, expected, told):
    read = _read(values, how)
    assert read.values.to_pylist() == expected
    assert told in read.told
    assert bool(told) == bool(read.told)


@pytest.mark.parametrize(
    ("values", "zone", "answers"),
    [
        (["1,234", "5,678"], "UTC", {"thousands", "decimal-comma", "text"}),
        (["2024-10-27 02:30"], "Europe/Berlin", {"earlier", "later", "missing"}),
        (["2024-03-31 02:30"], "Europe/Berlin", {"earlier", "later", "missing"}),
        (["2024-10-27 04:30"], "Europe/Berlin", None),
        (["2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00"], "Europe/Berlin", None),
    ],
)
def test_what_can_be_read_in_two_ways_is_asked(values, zone, answers):
    question = _read(values, zone=zone).question
    assert (set(question.answers) if question else None) == answers


def test_both_passes_of_an_hour_stay_apart_as_answered():
    first, second = (
        _read(["2024-10-27 02:30"], how, "Europe/Berlin").values[0].as_py() for how in ("earlier", "later")
    )
    assert (second - first).total_seconds() == 3600
    assert _read(["2024-10-27 02:30"], "missing", "Europe/Berlin").values.null_count == 1


@pytest.mark.parametrize("how", [*sorted({*READ_AS} - {"text"}), "number"])
def test_a_choice_that_does_not_fit_the_values_is_refused(how):
    with pytest.raises(WrongUsage, match=f"--read x={how}"):
        _read(["hello"], how)


WORDS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"\A0*[0-9]{1,25}(\.[0-9]{0,25})?\Z"),
    st.sampled_from(["NA", "null", "", "true", "True", "1,234", "5%", "$3", "2024-01-01", "x"]),
)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_no_value_of_any_column_changes_in_silence(words):
    read = _read(words)
    for word, value in zip(words, read.values.to_pylist(), strict=True):
        if isinstance(value, str):
            assert value == word
        elif isinstance(value, bool | int):
            assert str(value).lower() == word.lower()
        elif isinstance(value, float) and not read.told:
            assert Decimal(repr(value)) == Decimal(word)
        elif value is None and word:
            assert "read as missing" in read.told


def test_a_date_and_an_hour_in_two_columns_are_one_time(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("day,clock\n" + "".join(f"2024-01-0{1 + n},{n + 1}am\n" for n in range(5)))
    sample = read_sample(path, Reading(joined=("day", "clock")))
    assert sample.rows.column_names == ["asked_at"]
    assert [time.as_py().strftime("%dT%H") for time in sample.rows["asked_at"]] == [f"0{n}T0{n}" for n in range(1, 6)]


def test_a_missing_word_is_stated_for_one_column(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("country,code\nNA,NA\nDE,x\n")
    sample = read_sample(path, Reading(missing=("code=NA",)))
    assert sample.rows.to_pydict() == {"country": ["NA", "DE"], "code": [None, "x"]}
