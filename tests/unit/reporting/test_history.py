"""What happened: runs as they stand, and where each release of an environment ended."""

import pytest

from pipelines.config import Shadow, UserError
from pipelines.deployment.transitions import approve, conclude, promote, propose, roll_back
from pipelines.feature import FeatureParams
from pipelines.reporting.comparison import differences, metrics
from pipelines.reporting.history import releases
from tests.conftest import HISTORY, NOW
from tests.releasing import target
from tests.unit.deployment.test_releases import CANARY, DAY, ME, file, log, models, released  # noqa: F401


def stands(log):  # noqa: F811
    return [(one.version, one.phase) for one in releases(log)]


def test_each_release_is_reported_with_where_it_stands(log, models):  # noqa: F811
    released(log, models, 1)
    released(log, models, 2, CANARY)
    promote(target(log, models), ME, "good")
    released(log, models, 3, Shadow(duration=DAY), override="a test")
    conclude(target(log, models), ME, "it agrees")
    released(log, models, 3, CANARY, override="a test")
    roll_back(target(log, models), ME, "it errs")
    propose(target(log, models), ME, file(log, models, 4, override="a test"))
    assert stands(log) == [
        (1, "superseded"),
        (2, "promoted"),
        (3, "concluded"),
        (3, "quarantined"),
        (4, "proposed"),
    ]
    approve(target(log, models), ME, log.state().proposal)
    propose(target(log, models), ME, file(log, models, 3, CANARY, override="again"))
    assert stands(log)[-3:] == [(3, "rolled back"), (4, "superseded"), (3, "proposed")]


def test_a_withdrawn_release_is_told_as_that(log, models):  # noqa: F811
    released(log, models, 1)
    propose(target(log, models), ME, file(log, models, 2, CANARY))
    roll_back(target(log, models), ME, "the wrong file")
    assert stands(log) == [(1, "promoted"), (2, "withdrawn")]
    assert releases(log)[1].ended == ME.at


def test_a_champion_that_is_taken_back_leaves_its_place_to_the_one_before(log, models):  # noqa: F811
    released(log, models, 1)
    released(log, models, 2)
    propose(target(log, models), ME, file(log, models, 3, CANARY, override="a test"))
    roll_back(target(log, models), ME, "customers complain", champion_out=True)
    assert stands(log) == [(1, "promoted"), (2, "quarantined"), (3, "proposed")]
    assert releases(log)[1].reason == "customers complain"


def test_runs_are_reported_with_their_steps_and_their_failure(new_platform):
    platform = new_platform()
    platform.run("feature", FeatureParams(start=HISTORY, end=HISTORY + DAY), "good")
    with pytest.raises(UserError):
        platform.run("feature", FeatureParams(start=NOW.replace(year=1999), end=NOW.replace(year=1999) + DAY), "bad")
    bad, good = platform.runner.runs.latest(5)
    assert (good.run_id, good.pipeline, len(good.done), good.failed) == ("good", "feature", 5, None)
    assert (bad.run_id, bad.done) == ("bad", ("extract",))
    assert bad.failed.startswith("validate: ")
    assert [run.run_id for run in platform.runner.runs.latest(1)] == ["bad"]


def test_models_are_compared_by_what_differs(manifest):
    other = manifest.model_copy(update={"metrics": {"test": {"brier": 0.1}}, "estimator": "baseline"})
    assert metrics(manifest, other) == {"log_loss": [0.3, None], "brier": [None, 0.1]}
    assert differences(manifest, other) == {"estimator": ["boosting", "baseline"]}
