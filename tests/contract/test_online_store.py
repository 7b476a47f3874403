from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.storage.ports import OnlineRow

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds, microseconds=1)


def test_rows_come_back_as_they_were_written(online):
    row = OnlineRow(at(1), (1.5, "fog", None, -0.0))
    online.write({("v", "a"): row}, {"v": at(2)})
    assert online.read([("v", "a"), ("v", "b"), ("w", "a")]) == {("v", "a"): row}
    assert online.as_of("v") == at(2)
    assert online.as_of("w") is None


def test_nothing_wanted_is_nothing_found(online):
    assert online.read([]) == {}


def test_an_entity_may_have_any_name(online):
    names = ["", "a'b", 'a"b', "%", "日本", "a\x1fb", "x" * 500]
    online.write({("v", name): OnlineRow(at(n), (float(n),)) for n, name in enumerate(names)}, {"v": at(9)})
    found = online.read([("v", name) for name in names])
    assert [found["v", name].values for name in names] == [(float(n),) for n in range(len(names))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.permutations(list(range(6))), st.uuids())
def test_whatever_the_order_of_writes_the_newest_row_and_moment_stay(online, order, view):
    for second in order:
        online.write({(str(view), "a"): OnlineRow(at(second), (float(second),))}, {str(view): at(second)})
    assert online.read([(str(view), "a")])[str(view), "a"] == OnlineRow(at(5), (5.0,))
    assert online.as_of(str(view)) == at(5)


def test_a_row_of_the_same_time_is_corrected(online):
    online.write({("v", "a"): OnlineRow(at(1), (1.0,))}, {})
    online.write({("v", "a"): OnlineRow(at(1), (2.0,))}, {})
    assert online.read([("v", "a")])["v", "a"].values == (2.0,)


def test_more_rows_than_one_request_has_room_for_are_read(online):
    rows = {("v", str(n)): OnlineRow(at(n), (float(n),)) for n in range(350)}
    online.write(rows, {"v": at(0)})
    assert online.read(rows) == rows


def test_readers_and_writers_do_not_hinder_each_other(online):
    online.write({("v", "a"): OnlineRow(at(0), (0.0, 0.0))}, {})

    def write(n):
        online.write({("v", "a"): OnlineRow(at(n), (float(n), float(n)))}, {})

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, n) for n in range(30)]
        while not all(one.done() for one in writing):
            first, second = online.read([("v", "a")])["v", "a"].values
            assert first == second
    assert [one.result() for one in writing] == [None] * 30


def test_a_withdrawn_row_gives_way_to_the_row_given_or_goes(online):
    online.write({("v", name): OnlineRow(at(5), (5.0,)) for name in "abc"}, {"v": at(6)})
    gone = {("v", "a"): {at(4), at(5)}, ("v", "b"): {at(5)}, ("v", "never"): {at(5)}}
    for _ in range(2):
        online.write({("v", "a"): OnlineRow(at(3), (3.0,))}, {"v": at(6)}, gone)
        found = online.read([("v", name) for name in ("a", "b", "c", "never")])
        assert found == {("v", "a"): OnlineRow(at(3), (3.0,)), ("v", "c"): OnlineRow(at(5), (5.0,))}


def test_a_newer_row_stays_whatever_is_withdrawn_before_it(online):
    online.write({("v", name): OnlineRow(at(9), (9.0,)) for name in "ab"}, {})
    online.write({("v", "a"): OnlineRow(at(3), (3.0,))}, {}, {("v", "a"): {at(5)}, ("v", "b"): {at(5)}})
    assert {row.event_time for row in online.read([("v", "a"), ("v", "b")]).values()} == {at(9)}


def test_more_rows_than_one_condition_has_room_for_are_withdrawn(online):
    for name, stored in (("a", 0), ("b", 249)):
        online.write({("v", name): OnlineRow(at(stored), (0.0,))}, {})
    times = {at(second) for second in range(250)}
    online.write({}, {}, {("v", "a"): times, ("v", "b"): times})
    assert online.read([("v", "a"), ("v", "b")]) == {}
