"""The decision to train: yes, no and why, each on record."""

from datetime import timedelta

import pytest

from pipelines.config import Problem, UserError
from pipelines.continuous_training import ContinuousTrainingParams, Retrained
from pipelines.continuous_training.decide import decisions
from pipelines.entrypoints.drain import drain
from pipelines.monitor import Trigger
from pipelines.orchestration.executions import RunOutcome
from pipelines.training import Candidate
from pipelines.training.pipeline import PIPELINE as TRAINING
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

    monkeypatch.setitem(made.__dict__, "run_pipeline", launch)
    return made


def decide(platform, at=NOW, manual=None, run_id=None) -> Retrained:
    return platform.run("continuous_training", ContinuousTrainingParams(as_of=at, manual=manual), run_id)


def test_without_a_trigger_nothing_is_trained_and_that_is_on_record(platform):
    assert decide(platform).decision.reason == "nothing asks for a new model"
    assert platform.trained == []
    assert [one.train for one in decisions(platform.objects, "dev")] == [False]


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
    real = platform.run_pipeline

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(platform.__dict__, "run_pipeline", killed)
    with pytest.raises(KeyboardInterrupt):
        decide(platform, run_id="ct")
    monkeypatch.setitem(platform.__dict__, "run_pipeline", real)
    assert decide(platform, run_id="ct").accepted
    assert platform.events.receive() == []
    assert len(decisions(platform.objects, "dev")) == 1


def test_a_training_that_failed_starts_no_cooldown_and_loses_no_alarm(platform, monkeypatch):
    def fails(*_):
        raise UserError("too few labelled rows")

    platform.events.send(ALARM.to_json())
    real = platform.run_pipeline
    monkeypatch.setitem(platform.__dict__, "run_pipeline", fails)
    with pytest.raises(UserError, match="too few"):
        decide(platform)
    monkeypatch.setitem(platform.__dict__, "run_pipeline", real)
    assert decide(platform, NOW + DAY).accepted
    assert [(one.train, one.model is None) for one in decisions(platform.objects, "dev")] == [
        (True, True),
        (True, False),
    ]


def test_the_budget_of_a_month_is_kept(platform, monkeypatch):
    limits = platform.problem.config.continuous_training.model_copy(update={"cooldown": DAY, "monthly": 2})
    config = platform.problem.config.model_copy(update={"continuous_training": limits})
    monkeypatch.setitem(platform.__dict__, "problem", Problem(platform.problem.package, config))
    for day in (0, 2, 4):
        platform.events.send(ALARM.to_json())
        outcome = decide(platform, NOW + day * DAY)
    assert len(platform.trained) == 2
    assert outcome.decision.reason == "trained 2 times in 30 days, which is the budget; the next may be on 2024-03-26"
    platform.events.send(ALARM.to_json())
    assert decide(platform, NOW + 30 * DAY).decision.train


def test_draining_decides_only_when_something_waits(platform):
    assert drain(platform, NOW, None).says == "nothing asks for a new model"
    assert decisions(platform.objects, "dev") == []
    platform.events.send(ALARM.to_json())
    assert platform.events.depth().waiting == 1


def test_draining_goes_on_with_a_run_that_was_killed(platform, manifest, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    platform.events.send(ALARM.to_json())
    real = registered(platform, manifest)
    monkeypatch.setitem(platform.__dict__, "run_pipeline", killed)
    with pytest.raises(KeyboardInterrupt):
        drain(platform, NOW, None)
    monkeypatch.setitem(platform.__dict__, "run_pipeline", real)
    done = drain(platform, NOW + DAY, None)
    assert (done.run_id, done.version) == ("continuous_training-dev-000001", 1)
    assert [(one.at, one.train) for one in decisions(platform.objects, "dev")] == [(NOW, True)]
    assert drain(platform, NOW + DAY, None).says == "nothing asks for a new model"
    assert drain(platform, NOW + DAY, "a person's reason").run_id == "continuous_training-dev-000002"


def test_a_training_that_failed_is_decided_on_anew(platform, manifest, monkeypatch):
    def fails(name, params, run_id):
        platform.runner.start(TRAINING, params, run_id)
        return platform.runner.run(TRAINING, run_id)  # without any data

    platform.events.send(ALARM.to_json())
    real = registered(platform, manifest)
    monkeypatch.setitem(platform.__dict__, "run_pipeline", fails)
    with pytest.raises(UserError):
        drain(platform, NOW, None)
    monkeypatch.setitem(platform.__dict__, "run_pipeline", real)
    assert drain(platform, NOW + DAY, None).run_id == "continuous_training-dev-000002"


def test_draining_elsewhere_starts_the_training_and_leaves_it_to_itself(platform, manifest, monkeypatch):
    """What executes is a stand-in here: what is tested is what is asked of it, and when."""
    asked = Executed()
    monkeypatch.setitem(platform.__dict__, "run_pipeline", registered(platform, manifest))
    monkeypatch.setattr(platform.profile, "executions", asked)
    platform.events.send(ALARM.to_json())
    started = drain(platform, NOW, None)
    assert started.says == "training started as an-execution: performance.bias: too high"
    own = f"{started.run_id}-training"
    assert asked.started == [("training", own)]
    assert drain(platform, NOW + DAY, "now").says == "its training is under way"
    asked.status = "failed"
    assert drain(platform, NOW + DAY, None).run_id == "continuous_training-dev-000002", "its alarm still waits"
    asked.status = "succeeded"
    done = drain(platform, NOW + 2 * DAY, None)
    assert (done.version, done.accepted) == (1, True)
    assert platform.events.receive() == []
    assert len(asked.started) == 2


class Executed:
    """Executions as far as draining asks of them."""

    def __init__(self):
        self.started, self.status = [], "executing"

    def start(self, pipeline, run_id, compute):
        self.started.append((pipeline.name, run_id))
        return "an-execution"

    def outcome(self, runner, pipeline, run_id):
        if ("training", run_id) not in self.started:
            raise UserError("it was not started")
        return RunOutcome(self.status)


def registered(platform, manifest):
    """Return a launch whose trainings register a model."""

    def launch(name, params, run_id):
        model, version = platform.models.put(manifest.model_copy(update={"run_id": run_id}), {})
        return Candidate(model=model, version=version, accepted=True)

    return launch
