import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import Distribution, describe, psi, shares, unseen
from pipelines.config import CATEGORICAL, NUMERIC

RANDOM = np.random.default_rng(5)
NUMBERS = RANDOM.normal(0, 1, 5000).astype(np.float32)
RAIN = np.where(RANDOM.random(5000) < 0.93, 0.0, RANDOM.gamma(1, 2, 5000)).astype(np.float32)
FLAG = (RANDOM.random(5000) < 0.01).astype(np.float32)
CONSTANT = np.full(5000, 5.0, np.float32)
WORDS = RANDOM.choice(np.array(["a", "b", "c"], dtype=object), 5000, p=[0.6, 0.3, 0.1])


def index(reference, values):
    return psi(reference, shares(values, reference))


@pytest.mark.parametrize(
    ("values", "kind"),
    [(NUMBERS, NUMERIC), (RAIN, NUMERIC), (FLAG, NUMERIC), (CONSTANT, NUMERIC), (WORDS, CATEGORICAL)],
)
def test_a_sample_of_the_same_has_not_drifted(values, kind):
    assert index(describe(values, kind), RANDOM.choice(values, 2000)) < 0.02


@pytest.mark.parametrize(
    ("reference", "kind", "now"),
    [
        (NUMBERS, NUMERIC, NUMBERS + 1),
        (NUMBERS, NUMERIC, NUMBERS * 3),
        (NUMBERS, NUMERIC, np.where(RANDOM.random(5000) < 0.3, np.nan, NUMBERS)),
        (NUMBERS, NUMERIC, np.where(RANDOM.random(5000) < 0.2, 1e9, NUMBERS)),
        (RAIN, NUMERIC, np.zeros(5000, np.float32)),
        (RAIN, NUMERIC, np.where(RANDOM.random(5000) < 0.5, RAIN, 1.0)),
        (FLAG, NUMERIC, np.ones(5000, np.float32)),
        (CONSTANT, NUMERIC, np.full(5000, 1e9, np.float32)),
        (CONSTANT, NUMERIC, np.full(5000, 4.9, np.float32)),
        (WORDS, CATEGORICAL, RANDOM.choice(np.array(["a", "b", "c"], dtype=object), 5000)),
        (WORDS, CATEGORICAL, np.where(RANDOM.random(5000) < 0.3, "new", WORDS).astype(object)),
        (WORDS, CATEGORICAL, np.where(RANDOM.random(5000) < 0.3, "", WORDS).astype(object)),
    ],
)
def test_a_shift_new_values_a_mass_that_moves_and_missing_ones_are_drift(reference, kind, now):
    assert index(describe(reference, kind), now) > 0.25


@pytest.mark.parametrize(
    ("values", "kind"), [(np.full(9, np.nan, np.float32), NUMERIC), (np.array([""] * 9, dtype=object), CATEGORICAL)]
)
def test_a_column_that_was_always_missing_can_be_described(values, kind):
    reference = describe(values, kind)
    assert index(reference, values) == pytest.approx(0)
    assert index(reference, np.array([1.0] if kind is NUMERIC else ["x"], dtype=values.dtype)) > 0.25


def test_a_constant_column_can_be_described():
    assert index(describe(np.ones(50, np.float32), NUMERIC), np.ones(5, np.float32)) == pytest.approx(0)


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


@pytest.mark.parametrize("values", [NUMBERS, RAIN, FLAG, CONSTANT])
def test_windows_of_the_same_do_not_drift_by_chance(values):
    reference = describe(values, NUMERIC)
    indexes = [index(reference, RANDOM.choice(values, 1000)) for _ in range(200)]
    assert max(indexes) < 0.1


def test_an_edge_is_where_the_share_of_the_numbers_lies():
    reference = describe(NUMBERS, NUMERIC)
    assert np.mean(reference.edge(0.9) > NUMBERS) == pytest.approx(0.9, abs=0.01)
    assert describe(CONSTANT, NUMERIC).edge(0.9) == np.nextafter(5.0, 6)


def test_values_that_training_did_not_have_are_counted():
    reference = describe(WORDS, CATEGORICAL)
    upper = np.array([word.upper() for word in WORDS], dtype=object)
    assert unseen(reference, shares(upper, reference)) == 1.0
    assert unseen(reference, shares(WORDS, reference)) == 0.0
    assert unseen(describe(NUMBERS, NUMERIC), shares(NUMBERS + 9, describe(NUMBERS, NUMERIC))) == 0.0
