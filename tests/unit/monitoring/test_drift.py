import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import Distribution, describe, psi, shares
from pipelines.config import CATEGORICAL, NUMERIC

RANDOM = np.random.default_rng(5)
NUMBERS = RANDOM.normal(0, 1, 5000).astype(np.float32)
WORDS = RANDOM.choice(np.array(["a", "b", "c"], dtype=object), 5000, p=[0.6, 0.3, 0.1])


@pytest.mark.parametrize(("values", "kind"), [(NUMBERS, NUMERIC), (WORDS, CATEGORICAL)])
def test_a_sample_of_the_same_has_not_drifted(values, kind):
    assert psi(describe(values, kind), RANDOM.choice(values, 2000)) < 0.02


@pytest.mark.parametrize(
    ("reference", "kind", "now"),
    [
        (NUMBERS, NUMERIC, NUMBERS + 1),
        (NUMBERS, NUMERIC, NUMBERS * 3),
        (NUMBERS, NUMERIC, np.where(RANDOM.random(5000) < 0.3, np.nan, NUMBERS)),
        (WORDS, CATEGORICAL, RANDOM.choice(np.array(["a", "b", "c"], dtype=object), 5000)),
        (WORDS, CATEGORICAL, np.where(RANDOM.random(5000) < 0.3, "new", WORDS).astype(object)),
        (WORDS, CATEGORICAL, np.where(RANDOM.random(5000) < 0.3, "", WORDS).astype(object)),
    ],
)
def test_a_shift_a_spread_new_values_and_missing_ones_are_drift(reference, kind, now):
    assert psi(describe(reference, kind), now) > 0.25


@pytest.mark.parametrize(
    ("values", "kind"), [(np.full(9, np.nan, np.float32), NUMERIC), (np.array([""] * 9, dtype=object), CATEGORICAL)]
)
def test_a_column_that_was_always_missing_can_be_described(values, kind):
    reference = describe(values, kind)
    assert psi(reference, values) == pytest.approx(0)
    assert psi(reference, np.array([1.0] if kind is NUMERIC else ["x"], dtype=values.dtype)) > 0.25


def test_a_constant_column_can_be_described():
    assert psi(describe(np.ones(50, np.float32), NUMERIC), np.ones(5, np.float32)) == pytest.approx(0)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1),
    st.lists(st.floats(width=32), min_size=1),
)
def test_shares_are_shares_whatever_comes(reference, values):
    shape = describe(np.array(reference, np.float32), NUMERIC)
    assert shares(np.array(values, np.float32), shape).sum() == pytest.approx(1)


def test_a_description_survives_writing_and_reading():
    shape = describe(WORDS, CATEGORICAL)
    assert Distribution.from_json(shape.to_json()) == shape
