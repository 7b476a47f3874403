"""The moves of a release: which are allowed when, and what they leave behind."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.deployment.release_file import read_release, write_release
from pipelines.deployment.transitions import Actor, Moved, approve, promote, propose, roll_back, start
from pipelines.model_store import ONNX, ModelStore
from pipelines.release_log import ReleaseLog
from pipelines.spec import AllAtOnce, CanaryStrategy, GateResult, Phase, Refused, ReleaseFile, UserError

ME = Actor("me", datetime(2024, 3, 1, tzinfo=UTC))
CANARY = CanaryStrategy(share=0.2, bake=timedelta(days=1))


@pytest.fixture
def models(manifest, tmp_path):
    """A first version, two that were compared with it, a refused fourth."""
    store = ModelStore(FileObjects(tmp_path / "models"))
    refused = (GateResult(gate="absolute_quality", passed=False, reason="roc_auc 0.5 is below 0.7"),)
    for number in range(1, 5):
        data = str(number).encode()
        changed: dict = {"champion": store.versions()[1] if number > 1 else None}
        changed |= {"files": {ONNX: hashlib.sha256(data).hexdigest()}, **({"gates": refused} if number == 4 else {})}
        store.put(manifest.model_copy(update=changed), {ONNX: data})
    return store


@pytest.fixture
def log(tmp_path):
    return ReleaseLog(FileObjects(tmp_path / "log"), "dev")


def file(models, version, strategy=None, override=None):
    return ReleaseFile(
        model=models.versions()[version], version=version, strategy=strategy or AllAtOnce(), override=override
    )


def released(log, models, version, strategy=None):
    release = file(models, version, strategy)
    propose(log, models, ME, release)
    approve(log, ME, release)
    start(log, ME, release)


def test_the_first_release_takes_all_traffic_whatever_its_strategy(log, models):
    released(log, models, 1, CANARY)
    state = log.state()
    assert (state.phase, state.champion.version, state.challenger) == (Phase.PROMOTED, 1, None)


def test_a_canary_takes_its_share_until_it_is_promoted(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    state = log.state()
    assert (state.champion.version, state.challenger.version, state.share) == (1, 2, 0.2)
    promote(log, ME, "good")
    state = log.state()
    assert (state.champion.version, state.challenger, state.share, state.previous.version) == (2, None, 0.0, 1)


def test_a_canary_that_is_rolled_back_is_quarantined_until_it_is_proposed_anew(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    roll_back(log, ME, "it errs")
    state = log.state()
    assert (state.phase, state.champion.version, state.challenger) == (Phase.ROLLED_BACK, 1, None)
    assert state.quarantined == {models.versions()[2]: "it errs"}
    propose(log, models, ME, file(models, 2))
    assert log.state().quarantined == {}


def test_rolling_back_a_champion_brings_the_one_before_it(log, models):
    released(log, models, 1)
    released(log, models, 2)
    roll_back(log, ME, "customers complain")
    assert log.state().champion.version == 1
    with pytest.raises(Refused, match="no earlier champion"):
        roll_back(log, ME, "again")


def test_a_refused_candidate_cannot_be_proposed_unless_somebody_answers_for_it(log, models):
    with pytest.raises(Refused, match=r"v4 did not pass its gates \(absolute_quality: roc_auc 0.5 is below 0.7\)"):
        propose(log, models, ME, file(models, 4))
    assert log.latest() is None
    entry = propose(log, models, ME, file(models, 4, override="the old one is worse"))
    assert entry.reason == "v4: override of the gates: the old one is worse"


@pytest.mark.parametrize("move", [approve, start])
def test_nothing_goes_on_without_the_step_before(log, models, move):
    with pytest.raises(Refused):
        move(log, ME, file(models, 1))


def test_only_what_was_proposed_can_be_approved_and_only_what_was_approved_started(log, models):
    propose(log, models, ME, file(models, 1))
    with pytest.raises(Refused, match="not the one that was proposed"):
        approve(log, ME, file(models, 2))
    with pytest.raises(Refused, match="not approved"):
        start(log, ME, file(models, 1))
    approve(log, ME, file(models, 1))
    with pytest.raises(Refused, match="not approved"):
        start(log, ME, file(models, 1, CANARY))


def test_no_release_begins_while_another_rolls(log, models):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    with pytest.raises(Refused, match="a release is rolling"):
        propose(log, models, ME, file(models, 3))


def test_a_candidate_that_was_compared_with_another_champion_is_refused_unless_somebody_answers_for_it(log, models):
    released(log, models, 1)
    released(log, models, 2)
    with pytest.raises(Refused, match="v3 was never compared with the champion v2"):
        propose(log, models, ME, file(models, 3))
    with pytest.raises(Refused, match="v2 is the champion already"):
        propose(log, models, ME, file(models, 2))
    propose(log, models, ME, file(models, 3, override="v2 costs too much"))


@pytest.mark.parametrize("move", [promote, roll_back])
def test_a_verdict_on_what_rolls_no_more_moves_nothing(log, models, move):
    released(log, models, 1)
    released(log, models, 2, CANARY)
    judged = log.latest().number
    first = roll_back(log, ME, "it errs", after=judged)
    with pytest.raises(Moved):
        move(log, ME, "it errs", after=judged)
    assert log.latest() == first
    assert log.state().champion.version == 1


def test_there_is_no_challenger_to_promote(log, models):
    released(log, models, 1)
    with pytest.raises(Refused, match="no challenger"):
        promote(log, ME, "")


def test_of_many_approvals_at_once_one_wins(log, models, tmp_path):
    release = file(models, 1)
    propose(log, models, ME, release)

    def attempt(_):
        try:
            return approve(ReleaseLog(FileObjects(tmp_path / "log"), "dev"), ME, release)
        except Refused:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [entry for entry in pool.map(attempt, range(24)) if entry]
    assert len(won) == 1
    assert [entry.action for entry in log.entries()] == ["propose", "approve"]


def test_the_log_tells_who_did_what_when_and_why(log, models):
    released(log, models, 1)
    roll = [(entry.number, entry.action, entry.who, entry.at) for entry in log.entries()]
    assert roll == [(1, "propose", "me", ME.at), (2, "approve", "me", ME.at), (3, "promote", "me", ME.at)]


@pytest.mark.parametrize("tampering", ["change", "remove"])
def test_tampering_with_the_log_shows(log, models, tmp_path, tampering):
    released(log, models, 1)
    path = tmp_path / "log/releases/dev/000002.json"
    if tampering == "change":
        path.write_bytes(path.read_bytes().replace(b'"who":"me"', b'"who":"you"'))
    else:
        path.unlink()
    with pytest.raises(UserError, match="tampered with"):
        list(log.entries())
    if tampering == "change":
        with pytest.raises(UserError, match="tampered with"):
            ReleaseLog(FileObjects(tmp_path / "log"), "dev").latest()


def test_a_release_file_keeps_a_persons_comments(models, tmp_path):
    path = write_release(tmp_path, "dev", file(models, 1, CANARY))
    path.write_text(path.read_text().replace("[strategy]", "# careful: holidays\n[strategy]"))
    write_release(tmp_path, "dev", file(models, 2, CANARY))
    assert "# careful: holidays" in path.read_text()
    assert read_release(tmp_path, "dev") == file(models, 2, CANARY)
    write_release(tmp_path, "dev", file(models, 2))
    assert read_release(tmp_path, "dev") == file(models, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model = "abc"\nversion = 1\nstrategy = { kind = "all-at-once" }', "model: String should match pattern"),
        (f'model = "{"a" * 64}"\nversion = 1\nstrategy = {{ kind = "big-bang" }}', "strategy"),
        (f'model = "{"a" * 64}"\nversion = 1\nstrategy = {{ kind = "canary", shar = 0.1, bake = "1d" }}', "did you mean 'share'?"),
    ],
)  # fmt: skip
def test_a_release_file_that_is_not_valid_is_refused(tmp_path, text, message):
    (tmp_path / "dev.toml").write_text(text)
    with pytest.raises(UserError) as error:
        read_release(tmp_path, "dev")
    assert message in str(error.value)


def test_a_release_file_that_is_missing_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match="write it with 'mlops propose'"):
        read_release(tmp_path, "prod")
