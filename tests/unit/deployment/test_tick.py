"""A live release from its start to its end: real models, a service, labels, and the judge's looks."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pipelines.config import AbTest, BlueGreen, CanaryStrategy, Phase, Shadow, UserError, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.canary_analysis import AnalysisOutcome
from pipelines.deployment.comparison import compare_live, rows
from pipelines.deployment.inquiry import Inquiry
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.feature import FeatureParams
from pipelines.registry.model_store import CARD
from pipelines.serving.instances import Announcer, Standing
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import NOW
from tests.problems import parcels
from tests.releasing import Stated

DAY = timedelta(days=1)


@pytest.fixture
def platform(released):
    released.run("feature", FeatureParams(start=NOW, end=NOW + 9 * DAY, online_as_of=NOW))
    return released


def copied(platform):
    """Register the champion's bytes once more, under another manifest."""
    digest = platform.models.versions()[1]
    manifest = platform.models.manifest(digest)
    files = {name: platform.models.file(digest, name) for name in manifest.files}
    model, version = platform.models.put(manifest.model_copy(update={"reason": "a copy"}), files)
    platform.models.attach(model, CARD, b"")
    return Variant(model=model, version=version)


def failing(platform):
    model, version, _ = plant_failing_model(platform.models, platform.models.versions()[1], "weight")
    return Variant(model=model, version=version)


def started(platform, variant, strategy, at=NOW):
    actor = Actor("tester", at)
    if at > NOW:
        platform.online.write({}, {view.versioned_name: at for view in platform.problem.views})
    file = propose_model(platform.models, platform.releases.state(), variant, strategy, override="a test")
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    start(platform.release_target, actor, file)


def serve(platform, day):
    """Answer a day's requests with what is released."""
    writer = LogWriter(platform.objects, "dev", flush_seconds=60, flush_rows=10_000)
    service = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    service.refresh()
    rows = parcels.read("parcels", NOW + day * DAY, NOW + (day + 1) * DAY).to_pylist()
    service.predict(msgspec.json.encode({"instances": rows}))
    service.close()


def look(platform, days, target=None):
    return tick(
        platform.problem,
        platform.tables,
        platform.predictions,
        target or platform.release_target,
        Actor("canary analysis", NOW + days * DAY),
    )


def test_without_a_live_release_there_is_nothing_to_judge(platform):
    assert look(platform, 1) is None


def test_a_canary_advances_step_by_step_and_is_promoted(platform):
    started(platform, copied(platform), CanaryStrategy(steps=(0.3, 0.6), bake=DAY))
    seen = []
    for day in range(5):
        serve(platform, day)
        judged = look(platform, day + 1.5)
        seen.append((judged.verdict.outcome, judged.entry.action))
        if judged.entry.state.phase is Phase.PROMOTED:
            break
    assert seen[-1] == (AnalysisOutcome.PASS, "promote")
    assert (AnalysisOutcome.PASS, "advance") in seen
    assert platform.releases.state().champion.version == 2
    assert look(platform, 9) is None


def test_a_step_is_judged_on_its_own_traffic(platform):
    started(platform, copied(platform), CanaryStrategy(steps=(0.5, 0.6), bake=DAY))
    serve(platform, 0)
    assert look(platform, 1.5).entry.action == "advance"
    judged = look(platform, 3)
    assert (judged.verdict.outcome, judged.verdict.reason) == (AnalysisOutcome.INSUFFICIENT, "no traffic yet")


def code_lacks(platform, variant, lacks):
    return platform.release_target._replace(serving=Stated({variant.model: lacks}, {}))


def instance_lacks(platform, variant, lacks):
    announcer = Announcer(platform.objects, "dev", "a")

    def poll():
        announcer.answer(lambda asked: lacks if asked == variant else "")
        announcer.say(Standing())

    poll()
    return platform.release_target._replace(ask=Inquiry(platform.objects, "dev", 60, poll).unservable)


@pytest.mark.parametrize("strategy", [CanaryStrategy(steps=(0.5, 0.6), bake=DAY), BlueGreen(bake=DAY)])
@pytest.mark.parametrize("where", [code_lacks, instance_lacks])
def test_a_challenger_that_passes_and_cannot_be_served_ends(platform, strategy, where):
    challenger = copied(platform)
    started(platform, challenger, strategy)
    serve(platform, 0)
    target = where(platform, challenger, "its features import 'colorsys', which is not installed here")
    for _ in range(2):
        judged = look(platform, 1.5, target)
        assert judged.entry.action == "start", "nothing is recorded"
        assert judged.verdict.outcome is AnalysisOutcome.INSUFFICIENT
        assert "but v2 cannot be served: " in judged.verdict.reason
    judged = look(platform, 8.5, target)
    assert (judged.verdict.outcome, judged.entry.action) == (AnalysisOutcome.EXPIRED, "conclude")
    assert "it could not go on within 7d after the end of its step" in judged.entry.reason
    assert "import 'colorsys'" in judged.entry.reason
    state = platform.releases.state()
    assert (state.champion.version, state.challenger, state.quarantined) == (1, None, {})
    assert look(platform, 9, target) is None


def test_a_challenger_that_waited_goes_on_where_it_can_be_served(platform):
    challenger = copied(platform)
    started(platform, challenger, CanaryStrategy(steps=(0.5, 0.6), bake=DAY))
    serve(platform, 0)
    assert look(platform, 1.5, code_lacks(platform, challenger, "no library")).entry.action == "start"
    assert look(platform, 1.5).entry.action == "advance"


def test_a_look_that_moves_nothing_asks_no_instance(platform):
    started(platform, copied(platform), CanaryStrategy(steps=(0.5,), bake=DAY))
    asked = []
    target = platform.release_target._replace(ask=lambda variants: asked.extend(variants) or {})
    assert look(platform, 0.5, target).verdict.outcome is AnalysisOutcome.INSUFFICIENT
    assert asked == []


@pytest.mark.parametrize(
    "strategy", [CanaryStrategy(steps=(0.5,), bake=DAY), BlueGreen(bake=DAY), Shadow(duration=DAY), AbTest(horizon=DAY)]
)
def test_a_challenger_that_fails_is_rolled_back_whatever_the_strategy(platform, strategy):
    started(platform, failing(platform), strategy)
    serve(platform, 0)
    serve(platform, 1)
    judged = look(platform, 2)
    assert (judged.verdict.outcome, judged.entry.state.phase) == (AnalysisOutcome.FAIL, Phase.ROLLED_BACK)
    assert "it failed" in judged.verdict.reason
    assert judged.entry.state.champion.version == 1


@pytest.mark.parametrize("ahead", [-DAY, DAY, 400 * DAY])
def test_a_failing_challenger_is_rolled_back_whatever_clients_clocks_say(platform, ahead):
    """Windows go by the server's time: requests say when they were asked, and their clocks may be wrong."""
    began = datetime.now(UTC)
    started(platform, failing(platform), CanaryStrategy(steps=(0.5,), bake=DAY), began)
    writer = LogWriter(platform.objects, "dev", flush_seconds=60, flush_rows=10_000)
    stores = (platform.problem, platform.online, platform.models, platform.releases, writer)
    service = PredictionService(*stores, platform.settings.changed({"clock": "server"}))
    service.refresh()
    rows = parcels.read("parcels", NOW, NOW + 2 * DAY).to_pylist()
    rows = [{**row, "asked_at": began + ahead} for row in rows]
    service.predict(msgspec.json.encode({"instances": rows}))
    service.close()
    judged = look(platform, (datetime.now(UTC) - NOW) / DAY)
    assert judged.verdict.outcome is AnalysisOutcome.FAIL, judged.verdict.reason
    logged = platform.predictions.read(began, datetime.now(UTC))
    assert logged.num_rows == len(rows)
    skewed = 'client_clock_skew_seconds_bucket{le="3600.0"} 0.0'
    assert skewed in service.metrics.text().decode(), "the skew is measured"


def test_a_shadow_is_concluded_with_what_it_said(platform):
    started(platform, copied(platform), Shadow(duration=DAY))
    serve(platform, 0)
    assert look(platform, 1.5).entry.action == "conclude"
    found = compare_live(platform.problem, platform.tables, platform.predictions, platform.releases, NOW + 9 * DAY)
    assert (found.strategy, found.disagreement) == ("shadow", 0.0), "a copy never disagrees"
    assert found.champion_answers.predictions == found.challenger_answers.predictions > 80
    assert (found.effect.per_prediction, found.until) == (0.0, NOW + 1.5 * DAY)
    told = "\n".join(" ".join(row) for row in rows(platform.problem.config, found))
    assert "disagreement 0.0%" in told
    assert "no difference is shown" in told


def test_an_ab_test_ends_undecided_with_its_effect_in_money(platform):
    started(platform, copied(platform), AbTest(horizon=2 * DAY))
    for day in range(3):
        serve(platform, day)
    assert look(platform, 1.5).verdict.outcome is AnalysisOutcome.INSUFFICIENT
    judged = look(platform, 3)
    assert (judged.verdict.outcome, judged.entry.state.phase) == (AnalysisOutcome.UNDECIDED, Phase.CONCLUDED)
    found = compare_live(platform.problem, platform.tables, platform.predictions, platform.releases, NOW + 9 * DAY)
    assert found.effect.low < 0 < found.effect.high
    assert found.effect.low < found.effect.per_prediction < found.effect.high
    assert found.disagreement is None, "no request was answered by both"
    assert found.champion_answers.predictions + found.challenger_answers.predictions > 250


def test_a_comparison_needs_a_challenger_and_traffic(platform):
    def compare():
        compare_live(platform.problem, platform.tables, platform.predictions, platform.releases, NOW + DAY)

    with pytest.raises(UserError, match="no release of this environment had a challenger"):
        compare()
    started(platform, copied(platform), Shadow(duration=DAY))
    with pytest.raises(UserError, match="not answered anything yet"):
        compare()
