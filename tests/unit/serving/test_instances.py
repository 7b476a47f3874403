"""What instances say that they serve: bounded, expiring, and read by those who move releases."""

from datetime import timedelta

import pytest

from pipelines.config import UserError
from pipelines.deployment.confirmation import confirm, confirmation
from pipelines.serving import instances
from pipelines.serving.instances import EXPIRY, HEARTBEAT, Announcer, Standing, alive, read_reports
from tests.releasing import MemoryObjects


@pytest.fixture
def objects():
    return MemoryObjects()


@pytest.fixture
def clock(monkeypatch):
    """The time of instances, to be moved on."""

    class Clock(instances.datetime):
        moved = timedelta()

        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + cls.moved

    monkeypatch.setattr(instances, "datetime", Clock)
    return Clock


def served(transition, error=""):
    return Standing(transition=transition, serves=transition, error=error)


def test_each_instance_has_a_slot_and_the_slot_of_a_silent_one_is_taken(objects, clock):
    for name in "abc":
        Announcer(objects, "dev", name).say(served(1))
    assert [one.instance for one in read_reports(objects, "dev")] == ["a", "b", "c"]
    clock.moved = EXPIRY
    for name in "def":
        Announcer(objects, "dev", name).say(served(2))
    assert len(objects.keys("serving/dev/")) == 3, "no more than lived at once"
    assert [one.instance for one in alive(read_reports(objects, "dev"), clock.now(tz=instances.UTC))] == ["d", "e", "f"]


def test_an_instance_writes_when_something_changes_and_as_a_heartbeat(objects, clock):
    announcer = Announcer(objects, "dev", "a")
    announcer.say(served(1))
    (first,) = read_reports(objects, "dev")
    announcer.say(served(1))
    assert read_reports(objects, "dev") == [first]
    announcer.say(served(2))
    assert read_reports(objects, "dev")[0].standing.serves == 2
    clock.moved = HEARTBEAT
    announcer.say(served(2))
    assert read_reports(objects, "dev")[0].at > first.at + HEARTBEAT / 2


def test_an_instance_whose_slot_was_taken_takes_another(objects):
    first, second = Announcer(objects, "dev", "a"), Announcer(objects, "dev", "b")
    first.say(served(1))
    objects.write(
        objects.keys("serving/dev/")[0], read_reports(objects, "dev")[0].model_copy(update={"instance": "b"}).to_json()
    )
    first.say(served(2))
    second.say(served(2))
    assert sorted(one.instance for one in read_reports(objects, "dev"))[:2] == ["a", "b"]


def test_a_stopped_instance_is_gone_at_once(objects):
    announcer = Announcer(objects, "dev", "a")
    announcer.say(served(1))
    announcer.say(served(1), stopped=True)
    assert alive(read_reports(objects, "dev")) == []


def test_a_store_that_fails_stops_no_instance(caplog):
    class Failing(MemoryObjects):
        def keys(self, prefix):
            raise OSError(prefix)

    Announcer(Failing(), "dev").try_to_say(served(1))
    assert "standing not written" in caplog.text


def test_a_transition_is_confirmed_by_those_that_serve_it(objects):
    for name, standing in (("a", served(7)), ("b", served(6)), ("c", served(7, "model.onnx was tampered with"))):
        Announcer(objects, "dev", name).say(standing)
    found = confirm(lambda: read_reports(objects, "dev"), 7, seconds=0.3)
    assert str(found) == (
        "confirmed by 1 of 3 instances; not confirmed: c refused it: model.onnx was tampered with; "
        "b still serves transition 6"
    )
    assert not found.is_complete
    assert str(confirmation([], 7)) == "not confirmed: no instance of the serving app is running"


def test_a_log_that_lost_its_end_is_told(released):
    """What was cut off follows no chain; an instance that saw it is the witness."""
    number = released.releases.latest().number
    Announcer(released.objects, "dev", "a").say(served(number + 2))
    with pytest.raises(
        UserError, match=rf"ends at transition {number}, and instance a saw {number + 2}: its end was cut"
    ):
        released.release_target.latest()
