"""One rule book: what ``mlops release check`` passes a deployment takes, and what it refuses a deployment refuses."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipelines.adapters.local.signer import FileSigner
from pipelines.config import (
    AllAtOnce,
    BlueGreen,
    CanaryStrategy,
    GateResult,
    Phase,
    Refused,
    ReleaseFile,
    Shadow,
    Variant,
)
from pipelines.deployment import DeploymentParams, roll_out
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.release_rules import is_deployed
from pipelines.deployment.transitions import (
    advance,
    approve,
    conclude,
    promote,
    propose,
    roll_back,
    start,
)
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from tests.releasing import MemoryObjects, target
from tests.unit.deployment.test_releases import CANARY, DAY, ME

STRATEGIES = (
    AllAtOnce(),
    BlueGreen(bake=DAY),
    CANARY,
    CanaryStrategy(steps=(0.1, 0.5), bake=timedelta(hours=1)),
    Shadow(duration=DAY),
)
VERSIONS = range(1, 6)
REFUSED = (GateResult(gate="absolute_quality", passed=False, reason="roc_auc 0.5 is below 0.7"),)


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return FileSigner(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def models(manifest):
    """v1; v2 and v3 compared with v1; v4 compared with v2; v5, which failed its gates."""
    store = ModelStore(MemoryObjects())
    for champion in (None, 1, 1, 2, 1):
        changed = {
            "champion_model": store.versions()[champion] if champion else None,
            "reason": f"{len(store.versions())}",
        }
        changed |= {"gates": REFUSED} if len(store.versions()) == 4 else {}
        store.put(manifest.model_copy(update=changed), {})
    return store


def variant(models, version):
    return Variant(model=models.versions()[version], version=version)


def open_log(signer, environment="dev", objects=None):
    return ReleaseLog(objects or MemoryObjects(), signer, environment)


def released(there, version, how=None, override=None):
    file = propose_model(
        there.models, there.releases.state(), variant(there.models, version), how or AllAtOnce(), override
    )
    propose(there, ME, file)
    approve(there, ME, file)
    start(there, ME, file)


def deploy(there, file):
    """Take a merged file to its release, as ``mlops github approve`` and ``mlops deploy`` do."""
    state = there.releases.state()
    if is_deployed(state, file):
        return
    if state.proposal != file or state.phase not in (Phase.PROPOSED, Phase.APPROVED):
        if file.released.model in state.quarantined:
            raise Refused("quarantined")
        propose(there, ME, file)
    if there.releases.state().phase is Phase.PROPOSED:
        approve(there, ME, file)
    params = DeploymentParams(release=file, as_of=ME.at, who="me")
    tested = roll_out.test(params, there, roll_out.pull(params, there))
    roll_out.roll_out(params, there, tested)


# ---- what was seen --------------------------------------------------------------------------------------------------


def test_a_canary_judged_against_an_earlier_champion_is_refused(models, signer):
    there = target(open_log(signer), models)
    released(there, 1)
    released(there, 2)
    file = propose_model(models, there.releases.state(), variant(models, 3), CANARY)
    (reason,) = there.refusals("check", file, ME.at)
    assert reason.startswith("v3 was never compared with the champion v2")
    with pytest.raises(Refused, match="never compared with the champion v2"):
        deploy(there, file)


def test_a_file_is_refused_before_its_merge_while_a_canary_is_live(models, signer):
    there = target(open_log(signer), models)
    released(there, 1)
    released(there, 2, CANARY)
    file = propose_model(models, there.releases.state(), variant(models, 3), CANARY)
    (reason,) = there.refusals("check", file, ME.at)
    assert reason.startswith("a release is rolling")


def test_a_file_beside_a_champion_that_cannot_be_served_is_refused(models, signer):
    there = target(open_log(signer), models)
    released(there, 1)
    there = target(there.releases, models, broken={models.versions()[1]: "trained on other definitions of queue"})
    file = propose_model(models, there.releases.state(), variant(models, 2), CANARY)
    (reason,) = there.refusals("propose", file, ME.at)
    assert reason == "v1, which answers beside it, cannot be served: trained on other definitions of queue"
    alone = propose_model(models, there.releases.state(), variant(models, 2), AllAtOnce())
    (reason,) = there.refusals("propose", alone, ME.at)
    assert "v1 could not be gone back to" in reason
    assert there.refusals("propose", alone.model_copy(update={"override": "the views changed"}), ME.at) == []


@pytest.mark.parametrize("move", [advance, promote])
def test_a_challenger_that_cannot_be_served_goes_no_further(models, signer, move):
    there = target(open_log(signer), models)
    released(there, 1)
    released(there, 2, CanaryStrategy(steps=(0.1, 0.5), bake=DAY))
    there = target(there.releases, models, broken={models.versions()[2]: "model.onnx was tampered with"})
    with pytest.raises(Refused, match=r"v2 cannot be served: model\.onnx was tampered with"):
        move(there, ME, "good")


def test_nothing_is_rolled_back_to_what_cannot_be_served(models, signer):
    there = target(open_log(signer), models)
    released(there, 1)
    released(there, 2)
    broken = target(there.releases, models, broken={models.versions()[1]: "trained on other definitions of queue"})
    with pytest.raises(
        Refused, match="v1 cannot be served: trained on other definitions of queue; bring back the code"
    ):
        roll_back(broken, ME, "bad", champion_out=True)
    assert there.releases.state().champion.version == 2


# ---- over generated states ------------------------------------------------------------------------------------------

VARIANTS = st.sampled_from(VERSIONS)
RELEASE = st.tuples(
    st.just("release"), VARIANTS, st.sampled_from(STRATEGIES), st.booleans(), st.sampled_from((3, 3, 3, 2, 1))
)
END = st.sampled_from([(advance,), (promote,), (conclude,), (roll_back,)])
HISTORY = st.just([]) | st.builds(lambda first, more: [first, *more], RELEASE, st.lists(RELEASE | END, max_size=8))


def happened(there, moves):
    """Make moves as far as they are allowed; a release may stop when it is proposed, or approved."""
    for name, *rest in moves:
        try:
            if name != "release":
                name(there, ME, "generated")
                continue
            version, how, override, steps = rest
            reason = "generated" if override else None
            file = propose_model(there.models, there.releases.state(), variant(there.models, version), how, reason)
            for move in (propose, approve, start)[:steps]:
                move(there, ME, file)
        except (Refused, ValueError):
            continue


@st.composite
def files(draw, models, state):
    """A release file that people may have written: of another champion, of wrong pins, of a version that is another's."""
    if state.proposal and draw(st.integers(0, 3)) == 0:
        return state.proposal
    how = draw(st.sampled_from(STRATEGIES))
    numbers = {model: number for number, model in models.versions().items()}
    out = [numbers[model] for model in state.quarantined]
    brought = variant(models, draw(st.sampled_from(out) | VARIANTS if out else VARIANTS))
    champion = state.champion if state.champion and draw(st.integers(0, 3)) else variant(models, draw(VARIANTS))
    alone = isinstance(how, AllAtOnce) or champion.model == brought.model
    if draw(st.integers(0, 9)) == 0:
        brought = brought.model_copy(update=draw(st.sampled_from([{"version": 1}, {"model": "0" * 64}])))
    manifest = models.manifest(models.versions()[1])
    return ReleaseFile(
        champion=brought if alone else champion,
        challenger=None if alone else brought,
        feature_views={} if draw(st.integers(0, 9)) == 0 else manifest.feature_pins,
        request_schema=manifest.request_schema_sha256,
        override=draw(st.sampled_from([None, "answered for"])),
        strategy=AllAtOnce() if alone else how,
    )


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])  # which nothing changes
@given(data=st.data())
def test_what_the_check_passes_a_deployment_takes_and_no_more(models, signer, data):
    before = None
    if data.draw(st.booleans(), "an environment before"):
        before = open_log(signer)
        happened(target(before, models), data.draw(HISTORY, "before"))
    there = target(open_log(signer, "prod"), models)
    happened(there, data.draw(HISTORY, "moves"))
    file = data.draw(files(models, there.releases.state()), "file")
    concerned = sorted({file.released.model, file.champion.model, models.versions()[1]})
    reasons = st.just({}) | st.dictionaries(st.sampled_from(concerned), st.just("a fault"), max_size=1)
    there = target(there.releases, models, before, data.draw(reasons, "broken"), data.draw(reasons, "stale"))
    event(f"state {there.releases.state().phase.value}")
    foretold = there.refusals("check", file, ME.at)
    try:
        deploy(there, file)
        refused = None
    except Refused as error:
        refused = error
    event("refused" if refused else "taken")
    assert bool(foretold) == bool(refused), (foretold, refused)
    if not refused:
        assert is_deployed(there.releases.state(), file)
