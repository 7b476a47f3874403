import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.metrics import (
    calibration_curve,
    decision_threshold,
    mean_loss,
    paired_bootstrap,
    quality,
    row_losses,
    slices,
)
from pipelines.config import METRICS, ROW_LOSSES, Problem
from tests.conftest import PROBLEMS

LATE, MINUTES = (Problem.load(package).config for package in PROBLEMS)
LABELS = np.array([0.0, 0, 0, 1, 1])


@pytest.mark.parametrize("config", [LATE, MINUTES])
def test_every_metric_of_the_task_is_measured(config):
    measured = quality(config, LABELS, np.array([0.1, 0.2, 0.6, 0.7, 0.9]))
    assert set(measured) == {*METRICS[config.task], "bias"}


@pytest.mark.parametrize("config", [LATE, MINUTES])
def test_row_losses_average_to_the_metric(config):
    predictions = np.array([0.1, 0.2, 0.6, 0.7, 0.9])
    measured = quality(config, LABELS, predictions)
    for metric in ROW_LOSSES[config.task]:
        mean = row_losses(config, metric, LABELS, predictions).mean()
        assert measured[metric] == pytest.approx(mean**0.5 if metric == "rmse" else mean)
    assert mean_loss(config, LABELS, predictions) == pytest.approx(measured[config.gates.champion_comparison.metric])


def test_the_cost_of_a_decision_is_what_the_business_says():
    assert decision_threshold(LATE) == pytest.approx(0.25)  # a miss costs 3, a false alarm 1
    predictions = np.array([0.3, 0.1, 0.1, 0.2, 0.9])
    assert row_losses(LATE, "expected_cost", LABELS, predictions).tolist() == [1, 0, 0, 3, 0]


def test_the_cost_of_an_error_depends_on_its_side():
    assert row_losses(MINUTES, "expected_cost", np.array([10.0, 10.0]), np.array([13.0, 7.0])).tolist() == [3, 6]


def test_bias_is_how_much_too_high_the_predictions_are():
    assert quality(LATE, LABELS, np.full(5, 0.5))["bias"] == pytest.approx(0.1)


def test_areas_are_not_numbers_while_there_is_one_class():
    measured = quality(LATE, np.zeros(3), np.array([0.1, 0.2, 0.3]))
    assert np.isnan(measured["roc_auc"])
    assert np.isfinite(measured["log_loss"])


def test_a_certain_and_wrong_prediction_has_a_finite_loss():
    assert np.isfinite(row_losses(LATE, "log_loss", np.array([1.0, 0.0]), np.array([0.0, 1.0]))).all()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200), st.integers(2, 12))
def test_the_calibration_curve_loses_no_row(predictions, bins):
    predicted = np.array(predictions)
    curve = calibration_curve(np.zeros(len(predicted)), predicted, bins)
    assert sum(rows for _, _, rows in curve) == len(predicted)
    assert sum(mean * rows for mean, _, rows in curve) == pytest.approx(predicted.sum(), abs=1e-4)


def test_the_bootstrap_is_sure_of_a_difference_that_is_there_every_day():
    random = np.random.default_rng(1)
    champion = random.exponential(1.0, 2000)
    draws = paired_bootstrap(champion - 0.05, champion, np.arange(2000) // 100, 1000, seed=1)
    assert np.quantile(draws, 0.99) < 0


def test_a_bootstrap_by_day_is_wider_than_by_row_when_days_err_together():
    random = np.random.default_rng(1)
    day = np.arange(2000) // 100
    candidate = random.normal(0, 0.1, 2000) + random.normal(0, 1, 20)[day]
    by_day, by_row = (paired_bootstrap(candidate, np.zeros(2000), blocks, 1000, 1) for blocks in (day, np.arange(2000)))
    assert by_day.std() > 3 * by_row.std()


def test_a_model_is_seldom_found_better_than_its_equal():
    random = np.random.default_rng(3)
    wins = 0
    for trial in range(200):
        difference = random.normal(0, 1, 600) + random.normal(0, 0.5, 20)[np.arange(600) // 30]
        draws = paired_bootstrap(difference, np.zeros(600), np.arange(600) // 30, 300, trial)
        wins += np.quantile(draws, 0.95) < 0
    assert wins <= 0.1 * 200  # 5 % were promised; a bootstrap of 20 blocks is a little too sure


def test_slices_with_few_rows_are_left_out():
    groups = {"depot": np.array(["a"] * 4 + ["b"])}
    assert set(slices(LATE, LABELS, np.full(5, 0.4), groups, "log_loss", min_rows=2)) == {"depot=a"}
