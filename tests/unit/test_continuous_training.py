"""The decision to train: yes, no and why, each on record."""

from datetime import timedelta

import pytest

from pipelines.continuous_training import ContinuousTrainingParams, Retrained
from pipelines.continuous_training.decide import decisions
from pipelines.monitor import Trigger
from pipelines.spec import UserError
from pipelines.training import Candidate
from tests.conftest import NOW

DAY = timedelta(days=1)
ALARM = Trigger(kind="alarm", reason="performance.bias: too high", at=NOW)


@pytest.fixture
def platform(new_platform, monkeypatch):
    """A platform whose trainings are counted instead of run: what is tested here is the decision."""
    made = new_platform()
    made.trained = []

    def launch(name, params, run_id):
        made.trained.append((name, params.as_of, params.reason, run_id))
        return Candidate(model="m" * 64, version=len(made.trained), accepted=True)

    monkeypatch.setitem(made.__dict__, "launch", launch)
    return made


def decide(platform, at=NOW, manual=None, run_id=None) -> Retrained:
    return platform.run("continuous_training", ContinuousTrainingParams(as_of=at, manual=manual), run_id)


def test_without_a_trigger_nothing_is_trained_and_that_is_on_record(platform):
    assert decide(platform).decision.reason == "nothing asks for a new model"
    assert platform.trained == []
    assert [one.train for one in decisions(platform.objects, "decisions/dev/")] == [False]


def test_an_alarm_is_answered_with_a_training_and_taken_from_the_queue(platform):
    platform.events.send(ALARM.to_json())
    outcome = decide(platform, run_id="ct")
    assert (outcome.accepted, outcome.version) == (True, 1)
    assert platform.trained == [("training", NOW, "performance.bias: too high", "ct-training")]
    assert platform.events.receive() == []


def test_an_alarm_within_the_cooldown_is_not(platform):
    platform.events.send(ALARM.to_json())
    decide(platform)
    platform.events.send(ALARM.to_json())
    outcome = decide(platform, NOW + 4 * DAY)
    assert outcome.decision.reason == "trained on 2024-02-25; the cooldown of 5d ends on 2024-03-01"
    assert len(platform.trained) == 1
    platform.events.send(ALARM.to_json())
    assert decide(platform, NOW + 5 * DAY).decision.train


def test_a_refusal_to_train_does_not_prolong_the_cooldown(platform):
    for day in range(0, 6, 1):
        platform.events.send(ALARM.to_json())
        decide(platform, NOW + day * DAY)
    assert [at for _, at, _, _ in platform.trained] == [NOW, NOW + 5 * DAY]


def test_a_person_is_not_held_back_by_the_cooldown(platform):
    platform.events.send(ALARM.to_json())
    decide(platform)
    outcome = decide(platform, NOW + DAY, manual="new airport")
    assert (outcome.decision.train, outcome.decision.reason) == (True, "new airport")


def test_many_alarms_are_one_training(platform):
    for _ in range(5):
        platform.events.send(ALARM.to_json())
    outcome = decide(platform)
    assert len(outcome.decision.triggers) == 5
    assert len(platform.trained) == 1


def test_a_decision_that_was_made_before_a_crash_is_not_made_again(platform, monkeypatch):
    """Killed while it trains, the run goes on from its decision."""
    platform.events.send(ALARM.to_json())
    real = platform.launch

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(platform.__dict__, "launch", killed)
    with pytest.raises(KeyboardInterrupt):
        decide(platform, run_id="ct")
    monkeypatch.setitem(platform.__dict__, "launch", real)
    assert decide(platform, run_id="ct").accepted
    assert platform.events.receive() == []
    assert len(decisions(platform.objects, "decisions/dev/")) == 1


def test_a_training_that_failed_starts_no_cooldown_and_loses_no_alarm(platform, monkeypatch):
    def fails(*_):
        raise UserError("too few labelled rows")

    platform.events.send(ALARM.to_json())
    real = platform.launch
    monkeypatch.setitem(platform.__dict__, "launch", fails)
    with pytest.raises(UserError, match="too few"):
        decide(platform)
    monkeypatch.setitem(platform.__dict__, "launch", real)
    assert decide(platform, NOW + DAY).accepted
    assert [(one.train, one.model is None) for one in decisions(platform.objects, "decisions/dev/")] == [
        (True, True),
        (True, False),
    ]
