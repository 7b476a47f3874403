"""How often the judge errs: real models of both tasks, canaried against themselves and against planted faults."""

import shutil

import pytest

from tests.conftest import NOW, PROBLEMS, learn, make_platform
from tests.judging import DAY, failed, record


@pytest.fixture(scope="module", params=PROBLEMS)
def recorded(request, tmp_path_factory, mlflow_database):
    home = tmp_path_factory.mktemp("judged")
    shutil.copytree(mlflow_database, home / "mlflow")
    platform = make_platform(home, request.param)
    learn(platform)
    return platform, record(platform, NOW, NOW + 20 * DAY)  # half of it after the world has changed


@pytest.mark.parametrize("canaries", [150, pytest.param(500, marks=pytest.mark.slow)])
def test_a_model_against_itself_is_failed_no_more_often_than_promised(recorded, canaries):
    """Each canary is looked at after every hundred requests, and one in a hundred may fail; of each task."""
    alarms = failed(*recorded, canaries)
    assert len(alarms) <= canaries / 100, alarms


@pytest.mark.parametrize("worse", [{"errors": 0.06}, {"latency": 4.0}], ids=["errors", "latency"])
def test_a_planted_fault_is_found_before_the_canary_ends(recorded, worse):
    assert len(failed(*recorded, 20, **worse)) == 20


def test_a_planted_loss_of_quality_is_found_before_the_canary_ends(recorded):
    offset = -0.3 if recorded[0].problem.config.task == "binary_classification" else -20.0
    assert len(failed(*recorded, 20, offset=offset)) >= 19
