"""The judge of a canary: passes, fails for each reason it has, and waits."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.deployment.judge import Outcome, judge
from pipelines.spec import Phase, Problem, ReleaseState, Variant
from pipelines.tables import TIMESTAMP
from tests.conftest import PROBLEMS

STATEMENT = Problem.load(PROBLEMS[0]).statement  # a canary there needs 20 labels, which come in 6 hours, and a day
SLOW_LABELS = STATEMENT.model_copy(update={"label": STATEMENT.label.model_copy(update={"delay": timedelta(days=9)})})
FEW = "{0} of the champion's and {0} of the challenger's labelled predictions, 20 of each are needed; send more traffic"
START = datetime(2024, 3, 1, tzinfo=UTC)
STATE = ReleaseState(
    phase=Phase.ROLLING,
    champion=Variant(model="a" * 64, version=1),
    challenger=Variant(model="b" * 64, version=2),
    share=0.5,
    bake=timedelta(days=1),
    rolling_since=START,
)
LATER = START + timedelta(days=2)


def traffic(rows=400, errors=0, latency=1.0, labelled=True, challenger=lambda truth: truth, seed=1):
    """Half of the rows are the champion's, who predicts the truth; the challenger predicts some function of it."""
    random = np.random.default_rng(seed)
    truth, routed = random.uniform(0.05, 0.95, rows), np.arange(rows) % 2 == 1
    failed = np.zeros(rows, dtype=bool)
    failed[np.flatnonzero(routed)[:errors]] = True
    label = (random.random(rows) < truth).astype(float)
    return pa.table(
        {
            "event_time": pa.array([START] * rows, TIMESTAMP),
            "routed": pa.array(np.where(routed, "challenger", "champion")),
            "prediction": pa.array(np.where(routed & ~failed, challenger(truth), truth), pa.float32()),
            "latency_ms": pa.array(np.where(routed, latency, 1.0), pa.float32()),
            "error": pa.array(["it broke" if one else None for one in failed], pa.string()),
            "label": pa.array([one if labelled else None for one in label], pa.float64()),
        }
    )


def verdict(table, now=LATER, statement=STATEMENT):
    return judge(statement, STATE, table, now)


def test_a_challenger_like_the_champion_passes():
    assert verdict(traffic()).outcome is Outcome.PASS
    assert verdict(traffic(labelled=False), statement=SLOW_LABELS).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (traffic(errors=5), "it failed 5 of 200 requests (2.5%), which the champion answered"),
        (traffic(rows=10, errors=2), "it failed 2 of 5 requests"),
        (traffic(latency=80.0), "95 % of its answers take up to 80.0 ms, the champion's 1.0 ms"),
        (traffic(challenger=lambda truth: 1 - truth), "its log_loss is"),
        (traffic(challenger=lambda truth: np.full_like(truth, 0.5)), "its log_loss is"),
    ],
)
def test_a_challenger_that_errs_slows_degrades_or_shifts_fails(table, reason):
    judged = verdict(table)
    assert judged.outcome is Outcome.FAIL
    assert judged.reason.startswith(reason)


def test_where_labels_take_longer_than_the_bake_predictions_must_not_shift():
    shifted = traffic(challenger=lambda truth: truth / 10, labelled=False)
    judged = verdict(shifted, statement=SLOW_LABELS)
    assert judged.outcome is Outcome.FAIL
    assert judged.reason.startswith("its predictions are distributed otherwise")


def test_it_fails_at_once_and_does_not_wait_for_the_bake_to_end():
    assert verdict(traffic(errors=5), now=START + timedelta(minutes=5)).outcome is Outcome.FAIL


def test_it_is_too_slow_before_its_labels_come():
    judged = verdict(traffic(latency=5000.0, labelled=False), now=START + timedelta(minutes=5))
    assert (judged.outcome, "5000.0 ms" in judged.reason) == (Outcome.FAIL, True)


def test_one_error_is_an_accident():
    assert verdict(traffic(rows=400, errors=1)).outcome is Outcome.PASS


def test_slow_is_not_too_slow_within_the_limit():
    assert verdict(traffic(latency=20.0)).outcome is Outcome.PASS


def test_labels_count_for_more_than_the_shape_of_predictions():
    """A retrained model may well predict otherwise; what matters is that it is not worse."""
    table = traffic()
    constant = table.set_column(
        2, "prediction", pa.array(np.where(np.arange(400) % 2 == 1, table["prediction"].to_numpy(), 0.02), pa.float32())
    )
    assert verdict(constant).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("table", "now", "reason"),
    [
        (None, LATER, "no traffic yet"),
        (traffic(rows=38), LATER, FEW.format(19)),
        (traffic(labelled=False), LATER, FEW.format(0)),
        (traffic(), START + timedelta(hours=23), "baking until 2024-03-02 00:00"),
    ],
)  # fmt: skip
def test_too_little_to_judge_is_said_to_be(table, now, reason):
    judged = verdict(table, now)
    assert (judged.outcome, judged.reason) == (Outcome.INSUFFICIENT, reason)


def test_a_model_against_itself_is_seldom_failed():
    failed = sum(verdict(traffic(rows=200, seed=seed)).outcome is Outcome.FAIL for seed in range(100))
    assert failed <= 4  # one in a hundred was promised
