"""A release file is checked before it is merged: each thing that may be wrong is refused with its reason."""

import json
import re
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from pipelines.config import AllAtOnce, BlueGreen, Refused, UserError, Variant
from pipelines.contracts import Cloud
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.release_file import write_release
from pipelines.deployment.transitions import Actor, approve, propose, roll_back, start
from pipelines.entrypoints.cli.__main__ import app
from tests.conftest import NOW, PROBLEMS

AS_OF = f"{NOW:%Y-%m-%d}"
TESTER = Actor("tester", NOW)


@pytest.fixture
def first(released):
    """The release file of the model that dev serves, for any environment."""
    champion = released.releases.state().champion
    return propose_model(
        released.models, released.changed({"environment": "prod"}).releases.state(), champion, AllAtOnce()
    )


def check(platform, release, environment="prod", as_of=AS_OF):
    """Return the exit code of ``mlops release check`` on a file, and what it printed."""
    folder = platform.settings.releases
    path = write_release(folder, environment, release) if release else folder / f"{environment}.toml"
    given = {"RATCHET_HOME": str(platform.home), "RATCHET_PROBLEM": PROBLEMS[0], "RATCHET_RELEASES": str(path.parent)}
    done = CliRunner().invoke(app, ["-e", environment, "release", "check", "--as-of", as_of], env=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, re.sub(r"\s+", " ", done.output)


def another(platform, **changed):
    """Register a second candidate, of the first's bytes, and return it."""
    manifest = platform.models.manifest(platform.releases.state().champion.model)
    files = {name: platform.models.file(manifest.sha256(), name) for name in manifest.files}
    digest, version = platform.models.put(manifest.model_copy(update={"reason": "another", **changed}), files)
    return Variant(model=digest, version=version)


def test_a_champion_of_the_previous_environment_may_be_released(released, first):
    assert check(released, first) == (0, "✔ v1 may be released to prod ")


def test_an_unknown_model_is_refused(released, first):
    unknown = first.model_copy(update={"champion": Variant(model="0" * 64, version=7)})
    code, out = check(released, unknown)
    assert code == 3
    assert "the model store has no model 000000000000" in out


def test_a_version_that_is_another_model_is_refused(released, first):
    other = first.model_copy(update={"champion": Variant(model="0" * 64, version=1)})
    assert f"v1 is model {first.champion.model[:12]}, not 000000000000" in check(released, other)[1]


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
def test_a_model_whose_bytes_are_not_those_of_its_hash_is_refused(released, first, name):
    released.objects.write(f"models/{first.champion.model}/{name}", b"{}")
    code, out = check(released, first)
    assert (code, f"{name} of model {first.champion.model[:12]} was tampered with" in out) == (3, True)


def test_other_features_than_the_models_are_refused(released, first):
    changed = first.model_copy(update={"feature_views": {**first.feature_views, "request": "ffff"}})
    assert "pins other feature views" in check(released, changed)[1]


def test_a_skipped_environment_is_refused(released, first):
    skipping = first.model_copy(update={"champion": another(released)})
    assert check(released, skipping) == (3, "✘ v2 was never champion in dev, and environments are not skipped ")
    assert "never champion in" not in check(released, skipping, "dev")[1], "the first environment has none before it"


def test_an_environment_that_is_not_on_the_path_has_none_before_it(released, first):
    skipping = first.model_copy(update={"champion": another(released)})
    assert check(released, skipping, "local") == (0, "✔ v2 may be released to local ")


def test_a_file_that_is_deployed_passes_and_changes_nothing(released, first):
    assert check(released, first, "dev") == (0, "✔ v1 is deployed to dev ")


def test_a_view_that_is_not_materialised_is_refused(released, first):
    for path in released.home.rglob("online*"):
        path.unlink()
    code, out = check(released, first)
    assert (code, out.count("is not materialised; run 'mlops run feature' first")) == (
        3,
        len(released.problem.views),
    )


def test_a_view_that_is_too_old_is_refused(released, first):
    assert "was materialised up to" in check(released, first, as_of="2025-01-01")[1]


def test_a_quarantined_release_is_refused_there_and_further_on(released, first):
    bad = first.model_copy(update={"champion": another(released, champion_model=first.champion.model)})
    propose(released.release_target, TESTER, bad)
    approve(released.release_target, TESTER, bad)
    start(released.release_target, TESTER, bad)
    roll_back(released.release_target, TESTER, "it errs", champion_out=True)
    assert check(released, bad, "dev") == (3, "✘ v2 is quarantined: it errs; 'mlops propose v2' proposes it anew ")
    assert check(released, bad) == (3, "✘ v2 was rolled back in dev: it errs ")


def test_a_challenger_beside_another_champion_is_refused(released, first):
    beside = first.model_copy(
        update={
            "champion": Variant(model="0" * 64, version=9),
            "challenger": first.champion,
            "strategy": BlueGreen(bake=timedelta(days=1)),
        }
    )
    assert "the file brings v1 in beside v9, but nothing serves yet" in check(released, beside)[1]


def test_a_model_that_failed_its_gates_needs_an_override(released, first):
    gates = released.models.manifest(first.champion.model).gates
    failed = tuple(gate.model_copy(update={"passed": False}) for gate in gates)
    refused = first.model_copy(update={"champion": another(released, gates=failed)})
    assert "v2 did not pass its gates" in check(released, refused, "dev")[1]
    assert check(released, refused.model_copy(update={"override": "the old one is worse"}), "dev")[0] == 0


def test_a_file_with_an_unknown_key_is_refused(released, first):
    path = write_release(released.settings.releases, "prod", first)
    path.write_text("chamption = 1\n" + path.read_text())
    with pytest.raises(UserError, match="did you mean 'champion'"):
        check(released, None)


def test_the_order_of_promotion_is_that_of_the_list():
    cloud = Cloud(region="eu-west-1", monthly_budget=1, environments=("dev", "staging", "prod"))
    assert [cloud.before(name) for name in cloud.environments] == [None, "dev", "staging"]


def test_a_rollback_by_the_second_of_two_people_says_that_it_is_done(released, first):
    second = first.model_copy(update={"champion": another(released, champion_model=first.champion.model)})
    for move in (propose, approve, start):
        move(released.release_target, TESTER, second)
    given = {"RATCHET_HOME": str(released.home), "RATCHET_PROBLEM": PROBLEMS[0]}

    def rollback(who, *options):
        return CliRunner().invoke(app, ["rollback", "--reason", "prices", "--who", who, "--yes", *options], env=given)

    assert isinstance(rollback("ada").exception, Refused), "the champion is not taken out unasked"
    done = [rollback(who, "--champion") for who in ("ada", "bob")]
    assert [one.exit_code for one in done] == [0, 0]
    assert "done already: ✔ roll back: v2 to v1: prices" in done[1].output
    assert (released.releases.latest().who, released.releases.state().champion.version) == ("ada", 1)


def test_a_model_s_history_is_its_own_moves_and_not_what_a_reason_mentions(released, first):
    second = first.model_copy(update={"champion": another(released, champion_model=first.champion.model)})
    for move in (propose, approve, start):
        move(released.release_target, TESTER, second)
    roll_back(released.release_target, TESTER, "wrong prices; v3 will fix them", champion_out=True)
    another(released, reason="a fix")
    given = {"RATCHET_HOME": str(released.home), "RATCHET_PROBLEM": PROBLEMS[0]}

    def moves(version):
        done = CliRunner().invoke(app, ["explain", version, "--json"], env=given)
        return [entry["action"] for entry in json.loads(done.output)["releases"]]

    assert moves("v3") == []
    assert moves("v2") == ["propose", "approve", "promote", "roll back"]
    assert moves("v1") == ["propose", "approve", "promote", "roll back"], "it returned with the rollback"
