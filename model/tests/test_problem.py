from datetime import timedelta

from pipelines.config import Problem

PROBLEM = Problem.load("model")


def test_the_statement_the_features_and_the_estimators_fit_together():
    assert len(PROBLEM.features) == 25
    assert set(PROBLEM.config.training.estimators) <= set(PROBLEM.estimators)
    assert set(PROBLEM.config.slices) <= set(PROBLEM.features)


def test_labels_come_within_the_bake_of_a_canary():
    assert PROBLEM.config.label.delay <= PROBLEM.config.canary.bake


def test_the_replay_can_be_replayed():
    plan = PROBLEM.config.replay
    assert plan.history < plan.start < plan.bad_release < plan.fast_end < plan.end
    assert plan.monitor_every % timedelta(days=1) == plan.ingest_every % timedelta(days=1) == timedelta()
    assert plan.bad_release_feature in PROBLEM.features


def test_personal_fields_are_marked_and_are_no_features():
    personal = [name for name, column in PROBLEM.config.request_columns.items() if column.personal]
    assert personal == ["tail_number"]
    assert not set(personal) & set(PROBLEM.features)
