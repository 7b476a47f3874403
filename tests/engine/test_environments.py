"""Each environment on the real engine: a preview of nothing, an update, another, a refresh, its end."""

import pytest

from tests.engine.conftest import PROJECT, add_stack
from tests.engine.engine import counted
from tests.infra.environments import STACKS, image

pytestmark = pytest.mark.engine
POLICIES = ("--policy-pack", "policies")


@pytest.mark.parametrize("stack", STACKS)
def test_an_environment_comes_as_it_was_previewed_and_then_stays(engine, stack):
    add_stack(engine, stack)
    wanted = counted(engine.preview(stack, *POLICIES))
    engine.up(stack, *POLICIES)
    assert wanted == {"create": len(engine.things(stack))}
    engine.up(stack, *POLICIES, "--expect-no-changes")
    engine.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", stack)
    assert len(engine.remains()) == len(engine.things(stack))


def test_without_an_image_a_place_to_train_comes_and_stays(engine):
    add_stack(engine, "dev", letter="")
    engine.up("dev", *POLICIES)
    engine.up("dev", *POLICIES, "--expect-no-changes")
    assert not [urn for urn in engine.things("dev") if "sagemaker/endpoint:" in urn]


def test_a_rule_is_kept_in_the_preview_of_a_stack_that_is_not_there(engine):
    program = engine.checkout / "infra/aws/components/events.py"
    text = program.read_text()
    assert text.count("kms_master_key_id=args.key,\n")
    program.write_text(text.replace("kms_master_key_id=args.key,\n", "\n"))
    add_stack(engine, "dev")
    told = engine.pulumi("preview", "--stack", "dev", *POLICIES, code=1)
    assert "names no key of KMS" in told and "encrypted-at-rest" in told


def test_a_destroyed_dev_leaves_nothing_but_what_is_to_be_kept(environment):
    engine = environment("dev")
    engine.pulumi("destroy", "--yes", "--skip-preview", "--stack", "dev")
    assert engine.things("dev") == []
    kinds = [name.partition("@")[0] for name in engine.remains()]
    assert kinds == ["sagemaker_endpointConfiguration_EndpointConfiguration", "sagemaker_model_Model"]


def test_production_is_refused_its_destruction_before_anything_goes(environment):
    engine = environment("prod")
    before, there = engine.things("prod"), engine.remains()
    told = engine.pulumi("destroy", "--yes", "--skip-preview", "--stack", "prod", code=1)
    assert "cannot be deleted\n" in told and "because it is protected" in told
    assert (engine.things("prod"), engine.remains()) == (before, there)


def test_an_image_that_returns_is_no_collision_of_names(environment):
    engine = environment("dev")
    for letter in "ba":
        engine.pulumi("config", "set", "image", image(letter, project=PROJECT), "--stack", "dev")
        engine.up("dev")
    assert len([name for name in engine.remains() if name.startswith("sagemaker_model_")]) == 3


def test_an_endpoint_that_aws_does_not_know_is_a_sentence(environment):
    engine = environment("dev")
    next(engine.cloud.glob("sagemaker_endpoint_*")).unlink()
    told = engine.up("dev", code=1)
    assert "does not say what endpoint" in told and "pulumi refresh" in told
    assert "Traceback" not in told


def test_an_update_that_sagemaker_rolled_back_fails(environment, sagemaker):
    engine = environment("dev")
    sagemaker.rolled_back_to = "the-one-before"
    assert "serves with the-one-before, not with" in engine.up("dev", code=1)
