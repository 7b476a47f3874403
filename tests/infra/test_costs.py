"""Costs follow from what is registered, and the page that shows them is current."""

import json

import pytest

from infra.tools.docs import LOCAL_PAGE, PAGE, example, local_page, page, written
from infra.tools.estimate import Assumed, idle, million_predictions, prices, training_run
from tests.infra.environments import STACKS, changed, environment, plan

pytestmark = pytest.mark.infra

USD_A_MONTH = 1200  # of the template's default answers


def usd(stack):
    return sum(idle(environment(stack), plan(stack).config).values())


def test_dev_is_idle_for_25_usd_a_month():
    assert 0 < usd("dev") <= 25


@pytest.mark.parametrize("stack", STACKS)
def test_an_idle_environment_is_within_its_part_of_the_budget(stack):
    assert usd(stack) < USD_A_MONTH * plan(stack).config.budget_percent / 100


def test_what_is_added_is_counted():
    bigger = {"kind": "real-time", "instance": "ml.m5.xlarge", "min_instances": 2, "max_instances": 2}
    before, after = environment("staging"), changed("staging", serving=bigger)
    config = plan("staging").config
    assert idle(after, config)["endpoint"] == pytest.approx(4 * idle(before, config)["endpoint"])
    assert idle(before, config, Assumed(tick_seconds=20))["release tick"] > 5 * idle(before, config)["release tick"]


def test_use_is_counted():
    dev, prod = plan("dev").config, plan("prod").config
    assert training_run(environment("prod"), prod) > training_run(environment("dev"), dev) > 0
    assert million_predictions(dev) > million_predictions(prod) > 0
    assert million_predictions(dev, Assumed(request_seconds=0.5)) > 2 * million_predictions(dev)
    with pytest.raises(KeyError, match=r"ml\.r5\.large"):
        training_run(environment("dev"), plan("dev", training={"instance": "ml.r5.large"}).config)


def test_each_job_of_a_pipeline_is_counted_however_it_is_started():
    config, resources = example("dev")
    (training,) = [one for one in resources if one.type.endswith(":Pipeline") and one.name == "training"]
    jobs = len(json.loads(training.props["pipelineDefinition"])["Steps"])
    longer = Assumed(job_minutes=64)
    hourly = prices()["hour"][config.training.instance]
    more = training_run(resources, config, longer) - training_run(resources, config, Assumed(job_minutes=4))
    assert more == pytest.approx((jobs - 1) * hourly)
    left = [one for one in resources if not (one.type.endswith(":Schedule") and one.name == "feature")]
    daily = "jobs by the clock"
    assert 2 < idle(resources, config)[daily] < 8
    assert idle(left, config)[daily] == pytest.approx(idle(resources, config)[daily] - 5 * 730 / 24 * 4 / 60 * hourly)


def test_the_page_shows_what_the_program_registers_now():
    text = PAGE.read_text()
    assert page(text) == text, "run 'make infra-docs'"


def test_the_docs_show_what_the_local_program_registers_now():
    text = LOCAL_PAGE.read_text()
    assert local_page(text) == text, "run 'make infra-docs'"


def test_a_page_without_a_block_is_an_error():
    with pytest.raises(ValueError, match="no block cost"):
        written("nothing", {"cost": "1"})
