"""The moves of a release: which are allowed when, and what they leave behind."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.signer import FileSigner
from pipelines.config import (
    AbTest,
    AllAtOnce,
    BlueGreen,
    CanaryStrategy,
    GateResult,
    Phase,
    Problem,
    Refused,
    ReleaseFile,
    Shadow,
    UserError,
    Variant,
)
from pipelines.deployment.proposal import propose_model, strategy
from pipelines.deployment.release_file import read_release, write_release
from pipelines.deployment.release_rules import is_deployed
from pipelines.deployment.transitions import (
    Actor,
    StaleDecision,
    advance,
    approve,
    conclude,
    promote,
    propose,
    roll_back,
    start,
)
from pipelines.registry.model_store import ONNX, ModelStore
from pipelines.registry.release_log import ReleaseLog
from tests.conftest import PROBLEMS, ROOT
from tests.releasing import target

ME = Actor("me", datetime(2024, 3, 1, tzinfo=UTC))
DAY = timedelta(days=1)
CANARY = CanaryStrategy(steps=(0.2,), bake=DAY)


@pytest.fixture
def models(manifest, tmp_path):
    """A first version, two that were compared with it, a refused fourth."""
    store = ModelStore(FileObjects(tmp_path / "models"))
    refused = (GateResult(gate="absolute_quality", passed=False, reason="roc_auc 0.5 is below 0.7"),)
    for number in range(1, 5):
        data = str(number).encode()
        changed: dict = {"champion_model": store.versions()[1] if number > 1 else None}
        changed |= {"files": {ONNX: hashlib.sha256(data).hexdigest()}, **({"gates": refused} if number == 4 else {})}
        store.put(manifest.model_copy(update=changed), {ONNX: data})
    return store


@pytest.fixture
def log(tmp_path):
    return open_log(tmp_path)


def open_log(folder):
    return ReleaseLog(FileObjects(folder / "log"), FileSigner(folder / "keys"), "dev")


def variant(models, version):
    return Variant(model=models.versions()[version], version=version)


def file(log, models, version, how=None, override=None):
    return propose_model(models, log.state(), variant(models, version), how or AllAtOnce(), override)


def released(log, models, version, how=None, override=None):
    release = file(log, models, version, how, override)
    propose(target(log, models), ME, release)
    approve(target(log, models), ME, release)
    start(target(log, models), ME, release)


def test_the_first_release_takes_all_traffic_whatever_its_strategy(log, models):
    released(log, models, 1, CANARY)
    state = log.state()
    assert (state.phase, state.champion.version, state.challenger) == (Phase.PROMOTED, 1, None)


def test_a_canary_takes_its_share_until_it_is_promoted(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    state = log.state()
    assert (state.champion.version, state.challenger.version, state.routing.share) == (1, 2, 0.2)
    promote(target(log, models), ME, "good")
    state = log.state()
    assert (state.champion.version, state.challenger, state.routing.share) == (2, None, 0.0)


def test_a_rolled_back_canary_is_quarantined_until_proposed_anew(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    roll_back(target(log, models), ME, "it errs")
    state = log.state()
    assert (state.phase, state.champion.version, state.challenger) == (Phase.ROLLED_BACK, 1, None)
    assert state.quarantined == {models.versions()[2]: "it errs"}
    propose(target(log, models), ME, file(log, models, 2))
    assert log.state().quarantined == {}


def test_rolling_back_a_champion_brings_the_one_before_it(log, models):
    released(log, models, 1)
    released(log, models, 2)
    roll_back(target(log, models), ME, "customers complain", champion_out=True)
    assert log.state().champion.version == 1
    propose(target(log, models), ME, file(log, models, 3))
    with pytest.raises(Refused, match="no earlier champion"):
        roll_back(target(log, models), ME, "again", champion_out=True)


def test_a_refused_candidate_cannot_be_proposed_without_an_override(log, models):
    with pytest.raises(Refused, match=r"v4 did not pass its gates \(absolute_quality: roc_auc 0.5 is below 0.7\)"):
        propose(target(log, models), ME, file(log, models, 4))
    assert log.latest() is None
    entry = propose(target(log, models), ME, file(log, models, 4, override="the old one is worse"))
    assert entry.summary == "v4: override of the gates: the old one is worse"


@pytest.mark.parametrize("move", [approve, start])
def test_nothing_goes_on_without_the_step_before(log, models, move):
    with pytest.raises(Refused):
        move(target(log, models), ME, file(log, models, 1))


def test_only_the_proposed_is_approved_and_only_the_approved_started(log, models):
    propose(target(log, models), ME, file(log, models, 1))
    with pytest.raises(Refused, match="not the one that was proposed"):
        approve(target(log, models), ME, file(log, models, 2))
    with pytest.raises(Refused, match="not approved"):
        start(target(log, models), ME, file(log, models, 1))
    approve(target(log, models), ME, file(log, models, 1))
    with pytest.raises(Refused, match="not approved"):
        start(target(log, models), ME, file(log, models, 1, override="another file"))


def test_no_release_begins_while_another_rolls(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    with pytest.raises(Refused, match="a release is rolling"):
        propose(target(log, models), ME, file(log, models, 3))


def test_a_candidate_compared_with_another_champion_needs_an_override(log, models):
    released(log, models, 1)
    released(log, models, 2)
    with pytest.raises(Refused, match="v3 was never compared with the champion v2"):
        propose(target(log, models), ME, file(log, models, 3))
    with pytest.raises(Refused, match="v2 is the champion already"):
        propose(target(log, models), ME, file(log, models, 2))
    propose(target(log, models), ME, file(log, models, 3, override="v2 costs too much"))


@pytest.mark.parametrize("move", [promote, roll_back])
def test_a_verdict_on_what_rolls_no_more_moves_nothing(log, models, move):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    judged = log.latest().number
    first = roll_back(target(log, models), ME, "it errs", after=judged)
    with pytest.raises(StaleDecision):
        move(target(log, models), ME, "it errs", after=judged)
    assert log.latest() == first
    assert log.state().champion.version == 1


def test_there_is_no_challenger_to_promote(log, models):
    released(log, models, 1)
    with pytest.raises(Refused, match="nothing to promote: the latest release is promoted"):
        promote(target(log, models), ME, "")


def test_of_fifty_commands_at_once_one_wins(log, models, tmp_path):
    release = file(log, models, 1)
    propose(target(log, models), ME, release)

    def attempt(_):
        try:
            return approve(target(open_log(tmp_path), models), ME, release)
        except Refused:
            return None

    with ThreadPoolExecutor(50) as pool:
        won = [entry for entry in pool.map(attempt, range(50)) if entry]
    assert len(won) == 1
    assert [entry.action for entry in log.entries()] == ["propose", "approve"]


def test_of_fifty_rollbacks_at_once_one_wins(log, models, tmp_path):
    for version in (1, 2, 3):
        released(log, models, version) if version < 3 else released(log, models, 3, CANARY, override="a test")
    judged = log.latest().number

    def attempt(_):
        try:
            return roll_back(target(open_log(tmp_path), models), ME, "it errs", after=judged)
        except StaleDecision:
            return None

    with ThreadPoolExecutor(50) as pool:
        won = [entry for entry in pool.map(attempt, range(50)) if entry]
    assert (len(won), log.state().champion.version) == (1, 2)


# ---- strategies -----------------------------------------------------------------------------------------------------


def test_a_canary_takes_a_share_after_the_other_and_bakes_at_the_last(log, models):
    released(log, models, 1)
    released(log, models, 2, CanaryStrategy(steps=(0.05, 0.2, 0.5), bake=DAY))
    seen = [(log.state().phase, log.state().routing.share)]
    for day in (1, 2):
        advance(target(log, models), Actor("canary analysis", ME.at + day * DAY), "well so far")
        seen.append((log.state().phase, log.state().routing.share))
        assert log.state().since == ME.at + day * DAY
    assert seen == [(Phase.ROLLING, 0.05), (Phase.ROLLING, 0.2), (Phase.BAKE, 0.5)]
    with pytest.raises(Refused, match="one cannot advance"):
        advance(target(log, models), ME, "further")


@pytest.mark.parametrize(
    ("how", "phase", "routing"),
    [
        (BlueGreen(bake=DAY), Phase.BAKE, (1.0, True, None)),
        (Shadow(duration=DAY), Phase.ROLLING, (0.0, True, None)),
        (AbTest(share=0.3, sticky_by="depot", horizon=DAY), Phase.ROLLING, (0.3, False, "depot")),
    ],
)
def test_each_strategy_routes_in_its_way(log, models, how, phase, routing):
    released(log, models, 1)
    released(log, models, 2, how)
    assert (log.state().phase, tuple(log.state().routing)) == (phase, routing)
    roll_back(target(log, models), ME, "it errs")
    assert (log.state().champion.version, tuple(log.state().routing)) == (1, (0.0, False, None))


def test_what_is_concluded_leaves_the_champion_and_can_be_proposed_again(log, models):
    released(log, models, 1)
    released(log, models, 2, Shadow(duration=DAY))
    conclude(target(log, models), ME, "it agrees")
    state = log.state()
    assert (state.phase, state.champion.version, state.challenger, state.quarantined) == (Phase.CONCLUDED, 1, None, {})
    released(log, models, 2, CANARY)
    assert log.state().challenger.version == 2


def test_a_strategy_takes_the_problems_defaults_and_what_is_given():
    config = Problem.load(PROBLEMS[0]).config
    assert strategy(config, "canary", {}) == CanaryStrategy(steps=(0.5,), bake=DAY)
    assert strategy(config, "canary", {"steps": [0.1, 0.2], "bake": "2h"}).steps == (0.1, 0.2)
    for kind, given, message in (
        ("canari", {}, "there is no strategy 'canari'; did you mean 'canary'?"),
        ("canary", {"steps": [0.2, 0.1]}, "larger share"),
        ("canary", {"step": [0.2]}, "did you mean 'steps'?"),
        ("ab", {"sticky_by": "depo"}, "did you mean 'depot'?"),
        ("ab", {"sticky_by": "recipient"}, "a request has no field 'recipient'"),
        ("ab", {"horizon": "1h"}, "labels come only after 6h"),
    ):
        with pytest.raises(UserError) as error:
            strategy(config, kind, given)
        assert message in str(error.value)


# ---- going back -----------------------------------------------------------------------------------------------------


def test_one_can_go_back_to_any_earlier_champion_that_is_not_quarantined(log, models):
    for version in (1, 2, 3):
        released(log, models, version, override="a test")
    roll_back(target(log, models), ME, "prices", to=variant(models, 1))
    assert (log.state().champion.version, list(log.state().quarantined)) == (1, [models.versions()[3]])
    with pytest.raises(Refused, match="v3 is quarantined: prices"):
        roll_back(target(log, models), ME, "again", to=variant(models, 3))
    with pytest.raises(Refused, match="v4 was never champion here"):
        roll_back(target(log, models), ME, "again", to=variant(models, 4))
    latest = log.latest()
    assert roll_back(target(log, models), ME, "again", to=variant(models, 1)) == latest, "it serves already"


def test_rollbacks_go_back_one_champion_after_the_other(log, models):
    for version in (1, 2, 3):
        released(log, models, version, override="a test")
    first = roll_back(target(log, models), ME, "bad", champion_out=True)
    second = roll_back(target(log, models), ME, "bad", to=variant(models, 1))
    assert [entry.state.champion.version for entry in (first, second)] == [2, 1]


def test_the_second_of_two_people_on_call_changes_nothing(log, models):
    released(log, models, 1)
    released(log, models, 2)
    released(log, models, 3, CANARY, override="a test")
    first = roll_back(target(log, models), Actor("ada", ME.at), "it errs")
    second = roll_back(target(log, models), Actor("bob", ME.at), "it errs")
    assert second == first == log.latest()
    assert (log.state().champion.version, list(log.state().quarantined)) == (2, [models.versions()[3]])


def test_the_champion_is_taken_out_once_per_cause_and_only_on_request(log, models):
    for version in (1, 2, 3):
        released(log, models, version, override="a test")
    with pytest.raises(Refused, match="the champion v3 serves: --champion takes it out"):
        roll_back(target(log, models), ME, "bad")
    first = roll_back(target(log, models), Actor("ada", ME.at), "prices", champion_out=True)
    assert roll_back(target(log, models), Actor("bob", ME.at), "prices", champion_out=True) == first
    assert log.state().champion.version == 2


def test_while_a_challenger_is_live_the_champion_stays(log, models):
    released(log, models, 1)
    released(log, models, 2)
    released(log, models, 3, CANARY, override="a test")
    for how in ({"champion_out": True}, {"to": variant(models, 1)}):
        with pytest.raises(Refused, match="v3 is live beside the champion; 'mlops rollback' takes it out first"):
            roll_back(target(log, models), ME, "bad", **how)


@pytest.mark.parametrize("moves", [1, 2])
def test_a_rollback_withdraws_a_pending_release_and_keeps_the_champion(log, models, moves):
    released(log, models, 1)
    release = file(log, models, 2, CANARY)
    for move in (propose, approve)[:moves]:
        move(target(log, models), ME, release)
    entry = roll_back(target(log, models), ME, "refused at its deployment")
    assert (entry.action, entry.variant.version, entry.state.champion.version) == ("withdraw", 2, 1)
    assert (entry.state.phase, entry.state.quarantined) == (Phase.WITHDRAWN, {})
    assert roll_back(target(log, models), ME, "again") == entry
    with pytest.raises(Refused, match="not approved"):
        start(target(log, models), ME, release)


def test_the_champion_is_not_proposed_beside_itself(log, models):
    released(log, models, 1)
    with pytest.raises(Refused, match="v1 is the champion already"):
        file(log, models, 1, CANARY)
    with pytest.raises(Refused, match="v1 is the champion already"):
        propose(target(log, models), ME, file(log, models, 1))


def test_nothing_released_is_nothing_to_roll_back(log, models):
    with pytest.raises(Refused, match="there is nothing to roll back"):
        roll_back(target(log, models), ME, "bad")


def test_an_earlier_champion_returns_at_once_without_a_new_judgement(log, models):
    """What a revert of the release file asks for; v1 was never compared with v2, and need not be."""
    released(log, models, 1)
    released(log, models, 2)
    released(log, models, 1)
    assert (log.state().phase, log.state().champion.version) == (Phase.PROMOTED, 1)
    with pytest.raises(Refused, match="v4 did not pass its gates"):
        propose(target(log, models), ME, file(log, models, 4))


# ---- the file -------------------------------------------------------------------------------------------------------


def test_a_file_that_was_written_beside_another_champion_is_refused(log, models):
    released(log, models, 1)
    stale = file(log, models, 3, CANARY)
    released(log, models, 2)
    with pytest.raises(Refused, match="brings v3 in beside v1, but v2 serves"):
        propose(target(log, models), ME, stale)


def test_a_file_that_pins_what_the_model_is_not_is_refused(log, models):
    right = file(log, models, 1)
    for wrong in ({"feature_views": {"queue": "other"}}, {"request_schema": "d" * 64}):
        with pytest.raises(Refused, match="pins other feature views or another request schema than v1 has"):
            propose(target(log, models), ME, right.model_copy(update=wrong))


def test_a_release_is_deployed_while_it_is_live_and_while_its_model_serves(log, models):
    first = file(log, models, 1)
    assert not is_deployed(log.state(), first)
    released(log, models, 1)
    assert is_deployed(log.state(), first)
    second = file(log, models, 2, CANARY)
    propose(target(log, models), ME, second)
    assert not is_deployed(log.state(), second)
    approve(target(log, models), ME, second)
    assert not is_deployed(log.state(), second)
    start(target(log, models), ME, second)
    assert is_deployed(log.state(), second)
    roll_back(target(log, models), ME, "it errs")
    assert not is_deployed(log.state(), second)


def test_a_release_file_keeps_a_persons_comments(log, models, tmp_path):
    released(log, models, 1)
    path = write_release(tmp_path, "dev", file(log, models, 2, CANARY))
    path.write_text(path.read_text().replace("[strategy]", "# careful: holidays\n[strategy]"))
    path.write_text(path.read_text().replace("[challenger]", "[challenger] # the winter model"))
    for version, how in ((3, CANARY), (3, BlueGreen(bake=DAY)), (3, AllAtOnce()), (2, CANARY)):
        write_release(tmp_path, "dev", file(log, models, version, how))
        assert read_release(tmp_path, "dev") == file(log, models, version, how)
    assert "# careful: holidays" in path.read_text()


def _text(**changes):
    values = {"model": f'"{"a" * 64}"', "strategy": '{ kind = "all-at-once" }', "more": ""} | changes
    return (
        f'request_schema = "{"c" * 64}"\nfeature_views = {{}}\nstrategy = {values["strategy"]}\n{values["more"]}\n'
        f"champion = {{ model = {values['model']}, version = 1 }}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_text(model='"abc"'), "champion.model: String should match pattern"),
        (_text(strategy='{ kind = "big-bang" }'), "strategy"),
        (_text(strategy='{ kind = "canary", stepps = [0.1], bake = "1d" }'), "did you mean 'steps'?"),
        (_text(strategy='{ kind = "canary", steps = [0.1], bake = "1d" }'), "a challenger goes with every strategy"),
        (_text(more='image = "latest"'), "image: String should match pattern"),
    ],
)
def test_a_release_file_that_is_not_valid_is_refused(tmp_path, text, message):
    (tmp_path / "dev.toml").write_text(text)
    with pytest.raises(UserError) as error:
        read_release(tmp_path, "dev")
    assert message in str(error.value)


def test_a_release_file_that_is_missing_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match="write it with 'mlops propose'"):
        read_release(tmp_path, "prod")


def test_the_published_schema_is_the_one_that_is_checked(log, models, tmp_path):
    """Written by: mlops release schema > docs/schemas/release.json."""
    published = json.loads((ROOT / "docs/schemas/release.json").read_text())
    assert published == ReleaseFile.model_json_schema()
    path = write_release(tmp_path, "dev", file(log, models, 1))
    assert path.read_text().startswith("#:schema ../docs/schemas/release.json\n")


# ---- the record -----------------------------------------------------------------------------------------------------


def test_the_log_tells_who_did_what_when_and_why(log, models):
    released(log, models, 1)
    roll = [(entry.number, entry.action, entry.who, entry.at) for entry in log.entries()]
    assert roll == [(1, "propose", "me", ME.at), (2, "approve", "me", ME.at), (3, "promote", "me", ME.at)]


def test_a_stray_file_beside_the_log_is_ignored_and_told(log, models, tmp_path):
    released(log, models, 1)
    folder = tmp_path / "log/releases/dev"
    strays = (".DS_Store", "000002.json.bak", "README.md")
    for name in strays:
        (folder / name).write_bytes(b"?")
    assert [entry.number for entry in open_log(tmp_path).entries()] == [1, 2, 3]
    assert open_log(tmp_path).strays() == [f"releases/dev/{name}" for name in strays]
    released(open_log(tmp_path), models, 2)
    assert open_log(tmp_path).state().champion.version == 2


# Cutting off the end is the one thing that chain and signatures cannot show; the store must prevent it.
TAMPERED = [(how, number) for how in ("change", "remove", "forge", "garbage") for number in (1, 2, 3)]
TAMPERED.remove(("remove", 3))


@pytest.mark.parametrize(("tampering", "number"), TAMPERED)
def test_tampering_with_the_log_shows(log, models, tmp_path, tampering, number):
    released(log, models, 1)
    path = tmp_path / f"log/releases/dev/{number:06d}.json"
    data = path.read_bytes()
    match tampering:
        case "change":
            path.write_bytes(data.replace(b'"who":"me"', b'"who":"you"'))
        case "remove":
            path.unlink()
        case "forge":  # whoever can write the store has not got the key
            forged = json.loads(data)
            forged["entry"]["who"] = "you"
            entry = json.dumps(forged["entry"], sort_keys=True, separators=(",", ":"))
            signature = FileSigner(tmp_path / "other keys").sign(entry.encode())
            path.write_text(f'{{"entry":{entry},"signature":"{signature}"}}')
        case "garbage":
            path.write_bytes(b"{")
    with pytest.raises(UserError, match="tampered with"):
        list(open_log(tmp_path).entries())
    if tampering != "remove":  # a reader of the latest stops before the gap, so it sees an older state
        with pytest.raises(UserError, match="tampered with"):
            open_log(tmp_path).latest()


def test_the_audit_key_is_made_once_and_is_its_owners_alone(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(lambda _: FileSigner(tmp_path / "keys").sign(b"data"), range(8)))
    assert len(set(signatures)) == 1, "one key"
    assert (tmp_path / "keys/audit.key").stat().st_mode & 0o077 == 0
    (tmp_path / "keys/audit.key").unlink()
    checker = FileSigner(tmp_path / "keys")
    assert checker.verify(b"data", signatures[0])
    assert not checker.verify(b"date", signatures[0])
    assert not checker.verify(b"data", "not base64!")
