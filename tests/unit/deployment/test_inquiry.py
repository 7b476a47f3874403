"""Every live instance is asked whether it can serve a model, before a transition is recorded."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from pipelines.config import AllAtOnce, Refused, Variant
from pipelines.contracts import keys
from pipelines.deployment import inquiry
from pipelines.deployment.inquiry import Inquiry
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.release_rules import way_back
from pipelines.deployment.transitions import approve, propose, roll_back, start
from pipelines.registry.release_log import ReleaseLog
from pipelines.serving import questions
from pipelines.serving.instances import Announcer, Standing, read_reports
from pipelines.serving.questions import MOST, OPEN, ServingQuestion, ask, open_questions
from pipelines.storage.ports import Unavailable
from tests.releasing import MemoryObjects, target
from tests.unit.deployment.test_release_rules import models, released, signer, variant  # noqa: F401
from tests.unit.deployment.test_releases import CANARY, ME

LACKS = "its features import 'colorsys', which is not installed here"
FIRST, SECOND = (Variant(model=str(number) * 64, version=number) for number in (1, 2))


class Instance:
    """An instance of the app, whose code cannot serve some models; ``loads`` are the models that it tried."""

    def __init__(self, objects, name, broken=()):
        self.announcer, self.broken, self.loads = Announcer(objects, "dev", name), dict(broken), []
        self.announcer.say(Standing())

    def unservable(self, asked):
        self.loads.append(asked.version)
        why = self.broken.get(asked.model, "")
        if isinstance(why, Exception):
            raise why
        return why

    def poll(self):
        self.announcer.try_to_answer(self.unservable)
        self.announcer.say(Standing())


class Fleet(NamedTuple):
    """Instances that poll whenever a command waits, and what the command asks them with."""

    instances: list[Instance]
    asks: Inquiry
    waits: list[int]


@pytest.fixture
def objects():
    return MemoryObjects()


@pytest.fixture
def fleet(objects):
    """Start instances, each with what it cannot serve, in the place of those that were started before."""
    running = []

    def started(*broken, seconds=5.0, others=lambda: None):
        while running:
            running.pop().announcer.say(Standing(), stopped=True)
        instances = [Instance(objects, name, lacks) for name, lacks in zip("abc", broken, strict=False)]
        running.extend(instances)
        waits = []

        def pause():
            waits.append(1)
            others()
            for one in instances:
                one.poll()

        return Fleet(instances, Inquiry(objects, "dev", seconds, pause), waits)

    return started


@pytest.fixture
def clock(monkeypatch):
    """The time of commands and instances, to be moved on."""

    class Clock(datetime):
        moved = timedelta()

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + cls.moved

    for module in (inquiry, questions):
        monkeypatch.setattr(module, "datetime", Clock)
    return Clock


def test_no_live_instance_is_asked_nothing(objects, fleet):
    asks = fleet().asks
    assert asks.unservable([FIRST]) == {}
    gone = Instance(objects, "gone")
    gone.announcer.say(Standing(), stopped=True)
    assert asks.unservable([FIRST]) == {}
    assert objects.keys(keys.questions("dev")) == []


def test_instances_that_cannot_serve_a_model_are_named_with_the_reason(fleet):
    found = fleet({}, {SECOND.model: LACKS}, {SECOND.model: "too old"})
    assert found.asks.unservable([FIRST, SECOND]) == {SECOND.model: f"instance b: {LACKS}; instance c: too old"}
    assert len(found.waits) == 1, "both models in one question"


def test_each_instance_loads_an_asked_model_once(fleet):
    found = fleet({}, {})
    for _ in range(3):
        assert found.asks.unservable([FIRST, SECOND]) == {}
    for one in found.instances:
        one.poll()
        assert one.loads == [1, 2]
    assert len(found.waits) == 1, "the steps of a command wait once"


def test_a_model_that_was_refused_is_asked_of_anew(fleet):
    found = fleet({FIRST.model: "model.onnx was tampered with"})
    assert found.asks.unservable([FIRST])
    found.instances[0].broken.clear()
    assert found.asks.unservable([FIRST]) == {}


def test_a_silent_instance_is_told_and_stops_nothing(objects, fleet, caplog):
    Instance(objects, "frozen")
    found = fleet({}, seconds=0.3)
    assert found.asks.unservable([FIRST]) == {}
    assert "frozen did not say in time whether v1 can be served there" in caplog.text
    before = len(found.waits)
    assert found.asks.unservable([FIRST]) == {}
    assert len(found.waits) == before, "it is waited for once"
    assert found.asks._replace(seconds=0).unservable([SECOND]) == {}
    assert [one.variant for one in open_questions(objects, "dev")] == [FIRST], "0 seconds ask nobody"


def test_a_silent_instance_hides_no_refusal_of_another(objects, fleet):
    Instance(objects, "frozen")
    assert fleet({FIRST.model: LACKS}, seconds=0.3).asks.unservable([FIRST]) == {FIRST.model: f"instance a: {LACKS}"}


@pytest.mark.parametrize("error", [Unavailable("S3 is away"), OSError("disk")])
def test_a_store_that_fails_leaves_a_question_open(objects, error):
    one = Instance(objects, "a", {FIRST.model: error})
    ask(objects, "dev", [ServingQuestion(variant=FIRST, at=datetime.now(UTC))])
    one.poll()
    assert read_reports(objects, "dev")[0].answers == ()
    one.broken.clear()
    one.poll()
    assert [answer.error for answer in read_reports(objects, "dev")[0].answers] == [""]


def test_questions_expire_and_answers_with_them(objects, fleet, clock):
    found = fleet({})
    found.asks.unservable([FIRST])
    (one,) = found.instances
    clock.moved = OPEN
    one.poll()
    assert open_questions(objects, "dev") == []
    assert read_reports(objects, "dev")[0].answers == ()
    found.asks.unservable([SECOND])
    document = objects.read(keys.questions("dev")).decode()
    assert SECOND.model in document
    assert FIRST.model not in document, "the next question takes its place"


def test_open_questions_are_few(objects):
    now = datetime.now(UTC)
    for number in range(2 * MOST):
        asked = Variant(model=f"{number:064d}", version=number)
        ask(objects, "dev", [ServingQuestion(variant=asked, at=now + timedelta(microseconds=number))])
    assert [one.variant.version for one in open_questions(objects, "dev")] == list(range(MOST, 2 * MOST))


def test_a_question_that_another_command_overwrote_is_asked_again(objects, fleet):
    def overwrite(done=[]):  # noqa: B006
        if not done:
            done.append(objects.write(keys.questions("dev"), b'{"questions":[]}'))

    found = fleet({FIRST.model: LACKS}, others=overwrite)
    assert found.asks.unservable([FIRST]) == {FIRST.model: f"instance a: {LACKS}"}


def test_what_is_not_a_question_of_this_version_is_none(objects, fleet):
    objects.write(keys.questions("dev"), b'{"questions": [{"of": "another version"}]}')
    assert fleet({FIRST.model: LACKS}).asks.unservable([FIRST]), "it is replaced"


# ---- the transitions ------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(objects, models, signer):  # noqa: F811
    """Open an environment in which v1 serves, with two instances, of which the second cannot serve some versions."""

    def begun(fleet, *, versions=(), releases=None):
        log = releases or ReleaseLog(objects, signer, "dev")
        if releases is None:
            released(target(log, models), 1)
        broken = {models.versions()[version]: LACKS for version in versions}
        found = fleet({}, broken)
        return target(log, models)._replace(ask=found.asks.unservable), found

    return begun


def proposed(there, version, how=CANARY, override=None):
    return propose_model(there.models, there.releases.state(), variant(there.models, version), how, override)


def refused(there, move, text):
    """A move is refused by an instance before it is recorded."""
    number = there.releases.latest().number
    with pytest.raises(Refused, match=text):
        move()
    assert there.releases.latest().number == number


def test_each_step_to_a_model_that_an_instance_cannot_serve_is_refused(fleet, opened):
    there, _ = opened(fleet)
    file = proposed(there, 2)
    text = f"v2 cannot be served: instance b: {LACKS}"
    for step, move in enumerate((propose, approve, start)):
        worse, _ = opened(fleet, versions=[2], releases=there.releases)
        refused(worse, lambda move=move, worse=worse: move(worse, ME, file), text)
        there, found = opened(fleet, releases=there.releases)
        move(there, ME, file)
        assert len(found.waits) <= 1, step


def test_a_champion_that_an_instance_cannot_serve_beside_is_told(fleet, opened):
    there, _ = opened(fleet, versions=[1])
    refused(there, lambda: propose(there, ME, proposed(there, 2)), "v1, which answers beside it, .* instance b")
    alone = proposed(there, 2, AllAtOnce())
    refused(there, lambda: propose(there, ME, alone), "v1 could not be gone back to, .* instance b")
    propose(there, ME, alone.model_copy(update={"override": "v1 is of the past"}))


def test_a_check_asks_no_instance(fleet, opened):
    there, found = opened(fleet, versions=[2])
    assert there.refusals("check", proposed(there, 2), ME.at) == []
    assert found.waits == []


def test_nothing_is_rolled_back_to_what_an_instance_cannot_serve(fleet, opened):
    there, _ = opened(fleet)
    released(there, 2)
    worse, _ = opened(fleet, versions=[1], releases=there.releases)
    code = there.models.manifest(there.models.versions()[1]).code.label
    text = f"v1 cannot be served: instance b: {LACKS}; bring back the code .* trained it: {code}"
    refused(worse, lambda: roll_back(worse, ME, "worse", champion_out=True), text)


def test_a_challenger_is_taken_out_whatever_instances_can_serve(fleet, opened):
    there, _ = opened(fleet)
    released(there, 2, CANARY)
    worse, found = opened(fleet, versions=[1, 2], releases=there.releases)
    assert roll_back(worse, ME, "worse").state.champion.version == 1
    assert found.waits == []


@pytest.mark.parametrize(("to", "champion", "following"), [(None, 2, 1), (2, 2, 1), (1, 1, 2)])
def test_a_way_back_says_what_its_champion_falls_back_to(fleet, opened, to, champion, following):
    there, _ = opened(fleet)
    released(there, 2)
    released(there, 3, AllAtOnce(), "it is needed today")
    back = way_back(there.latest(), there.releases.tenures(), to and variant(there.models, to), champion_out=True)
    assert (back.champion.version, back.next.version) == (champion, following)
    worse, found = opened(fleet, versions=[following], releases=there.releases)
    told = worse.unservable(back.champion, back.next)
    assert told == {there.models.versions()[following]: f"instance b: {LACKS}"}
    assert len(found.waits) == 1, "both are asked of at once"
    roll_back(worse, ME, "worse", variant(there.models, to) if to else None, champion_out=True)
    assert there.releases.state().champion.version == champion, "the emergency exit stays open"
    left = way_back(there.latest(), there.releases.tenures(), variant(there.models, following))
    assert left.next is None, "v3 and then this one are quarantined"
