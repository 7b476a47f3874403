"""What the log says is what the app answers, within one poll, whatever happens and in whatever order."""

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pipelines.config import (
    AbTest,
    AllAtOnce,
    BlueGreen,
    CanaryStrategy,
    Refused,
    Shadow,
    UserError,
    Variant,
)
from pipelines.deployment import DeploymentParams, roll_out
from pipelines.deployment.confirmation import confirmation
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, advance, approve, conclude, promote, propose, roll_back
from pipelines.serving.instances import Announcer
from pipelines.serving.routing import to_challenger
from pipelines.serving.service import NoRelease, PredictionService
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import NOW
from tests.unit.serving.test_service import body, requests

DAY = timedelta(days=1)
ME = Actor("tester", NOW)
STRATEGIES = (
    AllAtOnce(),
    BlueGreen(bake=DAY),
    CanaryStrategy(steps=(0.2, 0.6), bake=DAY),
    Shadow(duration=DAY),
    AbTest(horizon=2 * DAY),
)
ROWS = requests(30)
BODY = body(ROWS)
NUMBERS = count()


class Following(RuleBasedStateMachine):
    """An environment of its own for each example, on real stores, models and services."""

    def __init__(self, platform, variants):
        super().__init__()
        self.platform = platform.changed({"environment": f"e{next(NUMBERS)}"})
        self.variants = variants
        self.service = None
        self.restart()

    @rule()
    def restart(self):
        """Another process takes the place of this one, and knows what the log says alone."""
        self.stop()
        platform = self.platform
        writer = LogWriter(platform.objects, platform.settings.environment, 60, 10_000)
        stores = (platform.problem, platform.online, platform.models, platform.changed({}).releases, writer)
        self.service = PredictionService(*stores, platform.settings)
        self.announcer = Announcer(platform.objects, platform.settings.environment)

    def stop(self):
        if self.service:
            self.service.close()
            self.announcer.say(self.service.standing, stopped=True)

    def teardown(self):
        self.stop()

    @initialize(version=st.integers(1, 4))
    def begin(self, version):
        self.release(version, AllAtOnce(), override=True)

    @rule(version=st.integers(1, 5), how=st.sampled_from(STRATEGIES), override=st.booleans())
    def propose(self, version, how, override):
        state, reason = self.platform.releases.state(), "generated" if override else None
        try:
            file = propose_model(self.platform.models, state, self.variants[version - 1], how, reason)
            propose(self.platform.release_target, ME, file)
        except Refused:
            return

    @rule(version=st.integers(1, 5), how=st.sampled_from(STRATEGIES), override=st.booleans())
    def release(self, version, how, override):
        self.propose(version, how, override)
        self.approve()
        self.deploy()

    @rule()
    def approve(self):
        self.pending(lambda platform, file: approve(platform.release_target, ME, file))

    @rule()
    def deploy(self):
        self.pending(deployed)

    def pending(self, move):
        file = self.platform.releases.state().proposal
        try:
            if file:
                move(self.platform, file)
        except Refused:
            return

    @rule(move=st.sampled_from([advance, promote, conclude]))
    def judged(self, move):
        try:
            move(self.platform.release_target, ME, "generated")
        except Refused:
            return

    @rule(champion=st.booleans())
    def roll_back(self, champion):
        try:
            roll_back(self.platform.release_target, ME, "generated", champion_out=champion)
        except Refused:
            return

    @rule(days=st.sampled_from([1, 3, 30]))
    def tick(self, days):
        self.service.log.flush()
        platform, actor = self.platform, Actor("canary analysis", NOW + days * DAY)
        tick(platform.problem, platform.tables, platform.predictions, platform.release_target, actor)

    @invariant()
    def what_the_log_says_is_what_the_app_answers(self):
        event(self.platform.releases.state().phase.value)
        self.service.refresh()
        self.announcer.say(self.service.standing)
        entry = self.platform.releases.latest()
        state = self.platform.releases.state()
        assert self.service.standing.error == ""
        assert self.service.unready == ""
        if entry:
            assert confirmation(self.platform.release_target.instances(), entry.number).is_complete
        if state.champion is None:
            with pytest.raises(NoRelease):
                self.service.predict(BODY)
            return
        answered = [answer["model_version"] for answer in self.service.predict(BODY)["predictions"]]
        share, challenger = state.routing.share, state.challenger
        assert answered == [
            challenger.version
            if challenger and share and to_challenger(row["parcel_id"], challenger.version, share)
            else state.champion.version
            for row in ROWS
        ]


@pytest.fixture
def variants(released):
    """The released model under four names, and a fifth that this code cannot serve."""
    first = released.models.versions()[1]
    manifest = released.models.manifest(first)
    files = {name: released.models.file(first, name) for name in manifest.files}
    views = dict.fromkeys(manifest.feature_versions.views, "other")
    changes = [{"reason": f"copy {number}", "champion_model": first} for number in range(3)]
    changes += [{"feature_versions": manifest.feature_versions.model_copy(update={"views": views, "module": ""})}]
    made = [released.models.put(manifest.model_copy(update=change), files) for change in changes]
    return [Variant(model=model, version=version) for model, version in [(first, 1), *made]]


def test_what_the_log_says_is_what_the_app_answers_within_one_poll(released, variants):
    run_state_machine_as_test(
        lambda: Following(released, variants), settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


def deployed(platform, file):
    target, params = platform.release_target, DeploymentParams(release=file, as_of=NOW, who="tester")
    roll_out.roll_out(params, target, roll_out.test(params, target, roll_out.pull(params, target)))


def canaried(platform, variant):
    file = propose_model(platform.models, platform.releases.state(), variant, STRATEGIES[2], override="a test")
    propose(platform.release_target, ME, file)
    approve(platform.release_target, ME, file)
    deployed(platform, file)


@pytest.fixture
def opened():
    """Start the service of a process of its own."""
    services = []

    def start(platform, **changed):
        platform = platform.changed(changed)
        writer = LogWriter(platform.objects, platform.settings.environment, 60, 10_000)
        stores = (platform.problem, platform.online, platform.models, platform.releases, writer)
        services.append(PredictionService(*stores, platform.settings))
        services[-1].refresh()
        return services[-1]

    yield start
    for service in services:
        service.close()


def test_an_environment_without_a_release_is_ready_by_a_setting(released, opened):
    assert opened(released, environment="fresh").unready == ""
    service = opened(released, environment="fresh", ready_without_release=False)
    assert service.unready.startswith("This environment has no release yet")


def test_an_unloadable_release_is_not_ready_unless_an_older_one_serves(released, variants, opened):
    service = opened(released)
    canaried(released, variants[1])
    promote(released.release_target, ME, "good")
    path = released.home / "store/models" / variants[1].model / "model.onnx"
    sound = path.read_bytes()
    path.write_bytes(sound + b"\0")
    service.refresh()
    assert (service.unready, service.standing.champion.version) == ("", 1), "the old one goes on"
    assert "tampered with" in service.standing.error
    assert "release_refused 1.0" in service.metrics.text().decode()
    restarted = opened(released)
    assert "cannot be loaded: model.onnx" in restarted.unready
    path.write_bytes(sound)
    for one in (service, restarted):
        one.refresh()
        assert (one.unready, one.standing.error, one.standing.champion.version) == ("", "", 2)
    assert "release_refused 0.0" in service.metrics.text().decode()


def test_a_challenger_that_no_instance_loads_is_taken_out_with_reason(released, variants, opened):
    canaried(released, variants[1])
    path = released.home / "store/models" / variants[1].model / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    service = opened(released)
    Announcer(released.objects, "dev", "a").say(service.standing)
    stores = (released.problem, released.tables, released.predictions, released.release_target)
    assert tick(*stores, Actor("canary analysis", NOW + timedelta(minutes=1))).entry.state.live, "it may try again"
    judged = tick(*stores, Actor("canary analysis", NOW + timedelta(minutes=2)))
    assert judged.entry.action == "roll back"
    assert judged.entry.reason.startswith("no instance of the serving app can load it: model.onnx of model")


def test_no_move_is_recorded_that_this_code_cannot_serve(released, variants):
    """The fifth was trained on other definitions than today's and carries none: the log still says what is served."""
    file = propose_model(released.models, released.releases.state(), variants[4], AllAtOnce(), "the old one is worse")
    number = released.releases.latest().number
    with pytest.raises(UserError, match="v5 cannot be served: it carries no feature definitions"):
        propose(released.release_target, ME, file)
    assert released.releases.latest().number == number
    assert released.releases.state().champion.version == 1
