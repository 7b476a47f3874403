"""The judge of a live release: passes, fails for each reason it has, and waits."""

from datetime import timedelta

import numpy as np
import pytest

from monitoring.sequential import larger_evidence, mean, ratio_evidence
from pipelines.config import AbTest, BlueGreen, Problem, Shadow
from pipelines.deployment.canary_analysis import AnalysisOutcome, analyse
from pipelines.deployment.traffic import Side, Traffic
from tests.conftest import PROBLEMS
from tests.judging import CANARY, DAY, live_state

CONFIG = Problem.load(PROBLEMS[0]).config  # the judge there needs 20 labels, which come in 6 hours
SLOW_LABELS = CONFIG.model_copy(update={"label": CONFIG.label.model_copy(update={"delay": timedelta(days=9)})})
FEW = "{0} of the champion's and {0} of the challenger's labelled predictions, 20 of each are needed; send more traffic"


def side(rows, random, predict=lambda truth: truth, errors=0, latency=1.0, labelled=True):
    """A variant that predicts some function of the truth."""
    truth = random.uniform(0.05, 0.95, rows)
    failed = np.arange(rows) < errors
    return Side(
        prediction=np.where(failed, np.nan, predict(truth)),
        latency_ms=np.full(rows, latency),
        failed=failed,
        label=(random.random(rows) < truth).astype(float) if labelled else np.full(rows, np.nan),
        unit=np.arange(rows),
    )


def traffic(rows=400, champion_rows=None, seed=1, labelled=True, **challenger):
    random = np.random.default_rng(seed)
    return Traffic(
        side(champion_rows or rows, random, labelled=labelled), side(rows, random, labelled=labelled, **challenger)
    )


def verdict(given, elapsed=2 * DAY, config=CONFIG, strategy=CANARY):
    return analyse(config, live_state(strategy), given, elapsed)


@pytest.mark.parametrize("strategy", [CANARY, BlueGreen(bake=DAY), Shadow(duration=DAY)])
def test_a_challenger_like_the_champion_passes(strategy):
    assert verdict(traffic(), strategy=strategy).outcome is AnalysisOutcome.PASS
    assert verdict(traffic(labelled=False), config=SLOW_LABELS, strategy=strategy).outcome is AnalysisOutcome.PASS


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (traffic(errors=20), "it failed 20 of 400 requests (5.0%)"),
        (traffic(rows=10, errors=4), "it failed 4 of 10 requests"),
        (traffic(latency=80.0), "its 95th percentile of latency is 80.0 ms, the champion's 1.0 ms"),
        (traffic(predict=lambda truth: 1 - truth), "its log_loss is"),
        (traffic(predict=lambda truth: np.clip(truth / 4, 0.01, 1)), "its log_loss is"),
        (traffic(labelled=False, predict=lambda truth: truth / 10), "its predictions are distributed differently"),
    ],
)
@pytest.mark.parametrize("elapsed", [timedelta(minutes=5), 2 * DAY])
def test_a_challenger_that_errs_slows_degrades_or_shifts_fails_at_once(given, reason, elapsed):
    judged = verdict(given, elapsed)
    assert judged.outcome is AnalysisOutcome.FAIL
    assert judged.reason.startswith(reason)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (traffic(errors=6), "it failed 1.5% of its requests, which may be chance; send more traffic"),
        (traffic(rows=40, errors=1), "it failed 2.5% of its requests, which may be chance; send more traffic"),
    ],
)
def test_errors_that_may_be_chance_neither_pass_nor_fail(given, reason):
    assert verdict(given) == (
        verdict(given).model_copy(update={"reason": reason, "outcome": AnalysisOutcome.INSUFFICIENT})
    )


def test_one_error_is_an_accident():
    assert verdict(traffic(rows=400, errors=1)).outcome is AnalysisOutcome.PASS


@pytest.mark.parametrize("strategy", [CANARY, BlueGreen(bake=DAY), Shadow(duration=DAY)])
@pytest.mark.parametrize("given", [None, traffic(rows=0, champion_rows=400)])
def test_a_release_that_nobody_could_judge_for_a_week_ends_and_says_why(given, strategy):
    waiting = verdict(given, 8 * DAY - timedelta(minutes=1), strategy=strategy)
    assert waiting.outcome is AnalysisOutcome.INSUFFICIENT
    over = verdict(given, 8 * DAY, strategy=strategy)
    assert over.outcome is AnalysisOutcome.EXPIRED
    told = f"it could not go on within 7d after the end of its step: {waiting.reason}; the champion stays"
    assert over.reason == told


def test_slow_is_not_too_slow_within_the_limit():
    assert verdict(traffic(latency=20.0)).outcome is AnalysisOutcome.PASS


def test_predictions_may_differ_within_the_limit_where_they_are_no_worse():
    better = traffic(predict=lambda truth: truth**1.1)
    assert verdict(better).outcome is AnalysisOutcome.PASS


@pytest.mark.parametrize(
    ("given", "elapsed", "reason"),
    [
        (None, 2 * DAY, "no traffic yet"),
        (traffic(rows=19), 2 * DAY, FEW.format(19)),
        (traffic(labelled=False), 2 * DAY, FEW.format(0)),
        (traffic(), timedelta(hours=23), "baking, 23:00:00 of 1 day, 0:00:00"),
    ],
)
def test_too_little_to_judge_is_said_to_be(given, elapsed, reason):
    judged = verdict(given, elapsed)
    assert (judged.outcome, judged.reason) == (AnalysisOutcome.INSUFFICIENT, reason)


def test_the_rows_of_one_unit_count_as_one():
    """One customer's many bad predictions are one piece of evidence, not many."""
    bad = traffic(predict=lambda truth: np.clip(truth / 4, 0.01, 1))
    assert verdict(bad).outcome is AnalysisOutcome.FAIL
    few = Traffic(*(one._replace(unit=np.arange(400) % 2) for one in bad))
    assert verdict(few).outcome is AnalysisOutcome.PASS


# ---- A/B tests ------------------------------------------------------------------------------------------------------

AB = AbTest(horizon=9 * DAY)


def blind(truth):
    return np.full_like(truth, 0.01)  # never acts, which costs every miss


def test_an_ab_test_is_won_when_the_challenger_is_shown_to_cost_less():
    random = np.random.default_rng(5)
    given = Traffic(side(2000, random, blind), side(2000, random))
    judged = verdict(given, DAY, strategy=AB, config=_shift_allowed())
    assert judged.outcome is AnalysisOutcome.PASS
    assert judged.reason.startswith("it costs less: -")


def test_an_ab_test_is_lost_when_the_challenger_is_shown_to_cost_more():
    random = np.random.default_rng(5)
    given = Traffic(side(2000, random), side(2000, random, blind))
    judged = verdict(given, DAY, strategy=AB, config=_shift_allowed())
    assert (judged.outcome, judged.reason.startswith("its expected_cost is")) == (AnalysisOutcome.FAIL, True)


@pytest.mark.parametrize(
    ("elapsed", "outcome", "reason"),
    [
        (DAY, AnalysisOutcome.INSUFFICIENT, "no difference is shown yet"),
        (9 * DAY, AnalysisOutcome.UNDECIDED, "no difference is shown"),
    ],
)
def test_an_ab_test_goes_on_until_its_horizon(elapsed, outcome, reason):
    judged = verdict(traffic(), elapsed, strategy=AB)
    assert (judged.outcome, judged.reason.startswith(reason)) == (outcome, True)


def test_an_ab_test_without_labels_ends_undecided():
    given = traffic(labelled=False)
    assert verdict(given, DAY, strategy=AB).outcome is AnalysisOutcome.INSUFFICIENT
    assert verdict(given, 9 * DAY, strategy=AB).outcome is AnalysisOutcome.UNDECIDED


def _shift_allowed():
    return CONFIG.model_copy(update={"canary_analysis": CONFIG.canary_analysis.model_copy(update={"max_shift": 1.0})})


def test_losses_that_differ_by_rounding_alone_are_no_evidence():
    same = [mean(np.full(rows, np.log(2)), np.arange(rows)) for rows in range(2, 200)]
    assert len({one.value for one in same}) > 1, "sums of the same number round"
    assert max(larger_evidence(now, usual) for now in same for usual in same[::10]) <= 0


def clustered(random, units, each, offset=0.0):
    """A variant whose predictions differ by unit, and hardly between the rows of one."""
    of_unit = random.beta(2, 5, units)
    unit = np.repeat(np.arange(units), each)
    prediction = np.clip(of_unit[unit] + random.normal(0, 0.01, len(unit)) + offset, 0.001, 0.999)
    nothing = np.full(len(unit), np.nan)
    return Side(prediction, np.full(len(unit), 1.0), np.zeros(len(unit), dtype=bool), nothing, unit)


@pytest.mark.parametrize(
    ("units", "offset", "least", "most"), [(60, 0.0, 0, 2), (300, 0.0, 0, 2), (60, 0.5, 0, 2), (600, 0.5, 195, 200)]
)
def test_predictions_that_differ_by_unit_are_compared_by_unit(units, offset, least, most):
    """Of 200 releases, each looked at ten times as it grows. Sixty units are too few to tell even a large shift."""
    failures = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        each = 2400 // units
        whole = Traffic(clustered(random, units, each), clustered(random, units, each, offset))
        order = [random.permutation(side.rows) for side in whole]
        looks = (
            Traffic(
                *(Side(*(part[rows[: 240 * look]] for part in side)) for side, rows in zip(whole, order, strict=True))
            )
            for look in range(1, 11)
        )
        failures += any(verdict(look, config=SLOW_LABELS).outcome is AnalysisOutcome.FAIL for look in looks)
    assert least <= failures <= most


@pytest.mark.parametrize("strategy", [CANARY, AbTest(share=0.5, horizon=DAY)])
@pytest.mark.parametrize(
    ("champions", "challengers", "sound"), [(700, 300, False), (520, 480, True), (300, 700, False)]
)
def test_a_split_that_is_not_the_one_that_is_set_passes_no_challenger(strategy, champions, challengers, sound):
    judged = verdict(traffic(rows=challengers, champion_rows=champions), strategy=strategy, elapsed=DAY / 2)
    told = f"{challengers / 10:.0f}% of 1,000 units were routed to the challenger, where 50% is set"
    assert (told in judged.reason) != sound
    assert judged.outcome is AnalysisOutcome.INSUFFICIENT, "half of the time is over"
    late = verdict(traffic(rows=challengers, champion_rows=champions), strategy=strategy, elapsed=30 * DAY)
    ended = {True: AnalysisOutcome.PASS, False: AnalysisOutcome.EXPIRED} if strategy == CANARY else {}
    assert late.outcome is ended.get(sound, AnalysisOutcome.UNDECIDED)


def test_the_split_is_judged_at_every_look_with_few_false_alarms():
    false = 0
    for seed in range(200):
        routed = np.random.default_rng(seed).random(5000) < 0.2
        found = [ratio_evidence(int(routed[:count].sum()), count, 0.2) for count in range(50, 5001, 50)]
        false += max(found) >= np.log(1 / 0.01)
    assert false <= 4
