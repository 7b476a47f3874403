"""What the log says is what the app answers, within one poll, whatever happens and in whatever order."""

import contextlib
import hashlib
import sys
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import currently_in_test_context, event, settings
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
from pipelines.deployment.inquiry import Inquiry
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, advance, approve, conclude, promote, propose, roll_back
from pipelines.feature import FeatureParams
from pipelines.registry import carried
from pipelines.serving.instances import Announcer
from pipelines.serving.routing import to_challenger
from pipelines.serving.service import NoRelease, PredictionService
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import HISTORY, NOW, PROBLEMS, make_platform
from tests.definitions import POUNDS, ROWS, WIDER, edited, expected

DAY = timedelta(days=1)
ME = Actor("tester", NOW)
STRATEGIES = (
    AllAtOnce(),
    BlueGreen(bake=DAY),
    CanaryStrategy(steps=(0.2, 0.6), bake=DAY),
    Shadow(duration=DAY),
    AbTest(horizon=2 * DAY),
)
GIVEN = ROWS.slice(0, 30).drop_columns(["recipient"]).to_pylist()
BODY = msgspec.json.encode({"instances": GIVEN})
VERSIONS = st.sampled_from((1, 2, 3, 4, 5, 6, 6, 7, 7, 7))
NUMBERS = count()
LIBRARY = "colorsys"  # of the standard library, and of no other package here


def seen(what):
    """Count what generated moves led to, which ``--hypothesis-show-statistics`` tells."""
    if currently_in_test_context():
        event(what)


class Image:
    """What processes that start from now on are made of: an image may lack a library that a model's features import."""

    def __init__(self, patch):
        self._patch, self.has_library = patch, True

    def change(self, has_library):
        self.has_library = has_library
        carried._loaded.clear()  # as in a new process
        for name in [name for name in sys.modules if name.startswith(carried._NAMESPACE) or name == LIBRARY]:
            del sys.modules[name]
        if not has_library:
            self._patch.setitem(sys.modules, LIBRARY, None)

    @contextlib.contextmanager
    def of(self, has_library):
        """Run what a process does that started when the image was so."""
        now = self.has_library
        if has_library != now:
            self.change(has_library)
        yield
        if has_library != now:
            self.change(now)


class Following(RuleBasedStateMachine):
    """An environment of its own for each example, on real stores, models and services."""

    def __init__(self, platform, world):
        super().__init__()
        self.world = world
        self.world.image.change(has_library=True)
        self.variants, self.service, self.service_has_library = world.variants, None, True
        self.open(platform.changed({"environment": f"e{next(NUMBERS)}"}))
        self.restart()

    def open(self, platform):
        """Start commands anew, which wait for the app by letting it poll."""
        self.platform = platform
        asks = Inquiry(platform.objects, platform.settings.environment, 60, self.poll)
        self.target = platform.release_target._replace(ask=asks.unservable)

    def poll(self):
        with self.world.image.of(self.service_has_library):
            self.service.refresh()
            self.announcer.answer(self.service.unservable)
        self.announcer.say(self.service.standing)

    @contextlib.contextmanager
    def moving(self):
        """Check that what a transition puts into service can be served by the commands and by the app."""
        before = self.platform.releases.latest()
        with contextlib.suppress(Refused):
            yield
        after = self.platform.releases.latest()
        if after == before:
            seen("a move was refused")
            return
        brought = after.variant if after.action in ("propose", "approve", "start", "advance", "promote") else None
        if after.action == "roll back" and after.champion_before != after.state.champion:
            brought = after.state.champion
        assert not self.is_broken(brought), "commands cannot serve it"
        assert not self.is_broken(brought, self.service_has_library), "the app cannot serve it"

    @rule()
    def restart(self):
        """A process of today's code and image, which knows what the log says alone, takes the place of this one.

        As in a rolling update: one that is not ready takes no place.
        """
        platform = self.platform
        writer = LogWriter(platform.objects, platform.settings.environment, 60, 10_000)
        stores = (platform.problem, platform.online, platform.models, platform.changed({}).releases, writer)
        started = PredictionService(*stores, platform.settings)
        started.refresh()
        if started.unready:
            seen("a process of an image that cannot serve the champion does not take over")
            assert self.is_broken(self.platform.releases.state().champion)
            started.close()
            return
        self.stop()
        self.service, self.announcer = started, Announcer(platform.objects, platform.settings.environment)
        self.service_has_library = self.world.image.has_library
        self.announcer.say(started.standing)

    def stop(self):
        if self.service:
            self.service.close()
            self.announcer.say(self.service.standing, stopped=True)

    def teardown(self):
        self.stop()

    def is_broken(self, variant, has_library=None):
        """Whether today's image, or that of a process, lacks what a model's features import."""
        return variant == self.variants[6] and not (
            self.world.image.has_library if has_library is None else has_library
        )

    @initialize(version=st.sampled_from((1, 6, 7)))
    def begin(self, version):
        self.release(version, AllAtOnce(), override=True)

    @rule(problem=st.integers(0, 1), restarted=st.booleans())
    def change_definitions(self, problem, restarted):
        """``model/`` changes under the commands at once, and under the app when that starts anew."""
        self.open(self.platform.changed({"problem": self.world.problems[problem]}))
        if restarted:
            self.restart()

    @rule(has_library=st.booleans(), restarted=st.booleans())
    def change_image(self, has_library, restarted):
        self.world.image.change(has_library)
        self.open(self.platform.changed({}))
        if restarted:
            self.restart()

    @rule(version=VERSIONS, how=st.sampled_from(STRATEGIES), override=st.booleans())
    def propose(self, version, how, override):
        state, reason = self.platform.releases.state(), "generated" if override else None
        with self.moving():
            file = propose_model(self.platform.models, state, self.variants[version - 1], how, reason)
            propose(self.target, ME, file)
            assert version != 5, "no code here can serve it"

    @rule(version=VERSIONS, how=st.sampled_from(STRATEGIES), override=st.booleans())
    def release(self, version, how, override):
        self.propose(version, how, override)
        self.approve()
        self.deploy()

    @rule()
    def approve(self):
        self.pending(lambda target, file: approve(target, ME, file))

    @rule()
    def deploy(self):
        self.pending(deployed)

    def pending(self, move):
        file = self.platform.releases.state().proposal
        with self.moving():
            if file:
                move(self.target, file)

    @rule(move=st.sampled_from([advance, promote, conclude]))
    def judged(self, move):
        with self.moving():
            move(self.target, ME, "generated")

    @rule(champion=st.booleans())
    def roll_back(self, champion):
        with self.moving():
            roll_back(self.target, ME, "generated", champion_out=champion)

    @rule(days=st.sampled_from([1, 3, 30]))
    def tick(self, days):
        self.service.log.flush()
        platform, actor = self.platform, Actor("canary analysis", NOW + days * DAY)
        with self.moving():  # and never refused: what passes and cannot be served waits, and then ends
            tick(platform.problem, platform.tables, platform.predictions, self.target, actor)
            return
        raise AssertionError("the tick fails")

    @invariant()
    def what_the_log_says_is_what_the_app_answers(self):
        seen(self.platform.releases.state().phase.value)
        self.poll()
        entry = self.platform.releases.latest()
        state = self.platform.releases.state()
        assert self.service.unready == ""
        if state.champion is None:
            with pytest.raises(NoRelease):
                self.service.predict(BODY)
            return
        share, challenger = state.routing.share, state.challenger
        if self.service.standing.error:
            seen("a process of an image that cannot serve the challenger answers by the champion, and says so")
            assert self.is_broken(challenger, self.service_has_library)
            share = 0.0
        assert confirmation(self.target.instances(), entry.number).is_complete == (not self.service.standing.error)
        wanted = [
            challenger.version
            if challenger and share and to_challenger(row["parcel_id"], challenger.version, share)
            else state.champion.version
            for row in GIVEN
        ]
        answers = self.service.predict(BODY)["predictions"]
        assert [answer["model_version"] for answer in answers] == wanted
        predicted = [
            self.world.predicted[version][row["parcel_id"]] for version, row in zip(wanted, GIVEN, strict=True)
        ]
        np.testing.assert_allclose([answer["prediction"] for answer in answers], predicted, rtol=0, atol=1e-6)


class World(NamedTuple):
    """What all examples share.

    Attributes:
        variants: v1 to v4 are of one definition; v5 pins another that it does not carry, so nothing serves it; v6 was
            trained on the second of ``problems``, v7 too, with a library that its features import.
        problems: the packages that ``model/`` may be.
        predicted: by version and key, what is right to answer.
        image: of the processes that start.
    """

    variants: list[Variant]
    problems: tuple[str, str]
    predicted: Mapping[int, Mapping[str, float]]
    image: Image


def registered(platform, manifest, files, **update):
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    model, version = platform.models.put(manifest.model_copy(update={"files": hashes, **update}), files)
    return Variant(model=model, version=version)


@pytest.fixture
def variants(released):
    """The released model under four names, and a fifth that this code cannot serve."""
    first = released.models.versions()[1]
    manifest = released.models.manifest(first)
    files = {name: released.models.file(first, name) for name in manifest.files}
    views = dict.fromkeys(manifest.feature_versions.views, "other")
    changes = [{"reason": f"copy {number}", "champion_model": first} for number in range(3)]
    changes += [{"feature_versions": manifest.feature_versions.model_copy(update={"views": views, "module": ""})}]
    return [Variant(model=first, version=1), *(registered(released, manifest, files, **change) for change in changes)]


@pytest.fixture
def world(released, variants, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    manifest = released.models.manifest(variants[0].model)
    kept = [name for name in manifest.files if not name.startswith(carried.FOLDER)]
    files = {name: released.models.file(variants[0].model, name) for name in kept}
    changed = edited(tmp_path, *WIDER, POUNDS)
    importing = edited(tmp_path, *WIDER, POUNDS)
    for package, library in ((changed, ""), (importing, f"import {LIBRARY}\n")):
        module = tmp_path / package / "features.py"
        module.write_text(f"{library}{module.read_text()}")
        problem = make_platform(released.home, package).problem
        given = {"feature_versions": carried.versions(problem), "champion_model": variants[0].model}
        variants.append(registered(released, manifest, {**files, **carried.sources(problem)}, **given))
    platform = make_platform(released.home, changed)
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW), "changed")
    predicted = {variant.version: expected(platform, variant.version) for variant in variants if variant.version != 5}
    assert predicted[1] == predicted[2]
    assert predicted[6] == predicted[7] != predicted[1], "other features, other answers"
    return World(variants, (PROBLEMS[0], changed), predicted, Image(monkeypatch))


def test_what_the_log_says_is_what_the_app_answers_within_one_poll(released, world):
    run_state_machine_as_test(
        lambda: Following(released, world), settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )


@pytest.fixture
def told(released, world):
    """Have moves made in an environment, and check after each that the app answers as the log says."""
    here = Following(released, world)

    def tell(move, *given):
        getattr(here, move)(*given)
        here.what_the_log_says_is_what_the_app_answers()
        state = here.platform.releases.state()
        return here, [variant.version for variant in (state.champion, state.challenger) if variant]

    yield tell
    here.teardown()


def test_a_release_goes_forth_and_back_across_a_change_of_definitions(told):
    told("begin", 1)
    told("change_definitions", 1, True)
    assert told("release", 6, STRATEGIES[2], True)[1] == [1, 6]
    told("change_definitions", 0, True)
    assert told("judged", promote)[1] == [6]
    assert told("roll_back", True)[1] == [1]
    told("change_definitions", 1, False)
    assert told("release", 6, STRATEGIES[0], True)[1] == [6]
    assert told("restart")[1] == [6]


def test_an_image_that_cannot_serve_the_champion_does_not_take_over(told):
    here, _ = told("begin", 7)
    service = here.service
    told("change_image", False, True)
    assert here.service is service, "the one of the old image goes on"
    with pytest.raises(Refused, match=f"v7 could not be gone back to, .* import '{LIBRARY}', which is not installed"):
        propose(here.target, ME, alone(here, 2))
    assert told("release", 2, STRATEGIES[0], True)[1] == [2], "for a reason"
    told("restart")
    assert here.service is not service
    with pytest.raises(Refused, match=r"v7 cannot be served: .*; bring back the code that serves it first"):
        roll_back(here.target, ME, "worse", champion_out=True)


def alone(here, version):
    return propose_model(
        here.platform.models, here.platform.releases.state(), here.variants[version - 1], AllAtOnce(), None
    )


def test_an_image_that_cannot_serve_the_challenger_has_it_taken_out(told):
    here, _ = told("begin", 1)
    told("release", 7, STRATEGIES[2], True)
    told("change_image", False, True)
    assert f"import '{LIBRARY}'" in here.service.standing.error
    assert told("tick", 1)[1] == [1]
    assert "no instance of the serving app can load it" in here.platform.releases.latest().reason
    assert here.service.standing.error == ""


def test_an_app_of_another_image_is_asked_before_a_release_is_recorded(told):
    here, _ = told("begin", 1)
    told("change_image", False, True)
    told("change_image", True, False)
    file = propose_model(
        here.platform.models, here.platform.releases.state(), here.variants[6], STRATEGIES[2], override="a test"
    )
    number = here.platform.releases.latest().number
    with pytest.raises(Refused, match=f"v7 cannot be served: instance .*: its features import '{LIBRARY}'"):
        propose(here.target, ME, file)
    assert here.platform.releases.latest().number == number
    told("restart")
    propose(here.target, ME, file)
    approve(here.target, ME, file)
    told("change_image", False, True)
    told("change_image", True, False)
    with pytest.raises(Refused, match="v7 cannot be served: instance"):
        deployed(here.target, file)
    assert here.platform.releases.latest().action == "approve"


def deployed(target, file):
    params = DeploymentParams(release=file, as_of=NOW, who="tester")
    roll_out.roll_out(params, target, roll_out.test(params, target, roll_out.pull(params, target)))


def canaried(platform, variant):
    file = propose_model(platform.models, platform.releases.state(), variant, STRATEGIES[2], override="a test")
    propose(platform.release_target, ME, file)
    approve(platform.release_target, ME, file)
    deployed(platform.release_target, file)


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
