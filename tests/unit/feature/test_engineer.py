from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipelines.config import NUMERIC, FeatureView, UserError
from pipelines.feature.engineer import compute, effective_time
from pipelines.storage.tables import TIMESTAMP

MIDNIGHT = datetime(2024, 1, 2, tzinfo=UTC)
VIEW = FeatureView(
    name="queue",
    description="",
    entity=("depot",),
    table="scans",
    features={"queue": NUMERIC},
    every=timedelta(hours=1),
    ttl=timedelta(hours=2),
    sql="SELECT depot, scanned_at AS event_time, queue FROM scans",
)


def scans(*rows):
    depots, times, queues = zip(*rows, strict=True)
    return pa.table({"depot": depots, "scanned_at": pa.array(times, TIMESTAMP), "queue": queues})


def at(**after):
    return MIDNIGHT + timedelta(**after)


@pytest.mark.parametrize(
    ("delay", "event", "effective"),
    [
        (timedelta(), at(minutes=1), at(hours=1)),
        (timedelta(), at(minutes=59, seconds=59), at(hours=1)),
        (timedelta(), at(hours=1), at(hours=2)),  # what comes at one o'clock is not in what is materialised at one
        (timedelta(hours=1), at(minutes=30), at(hours=2)),
    ],
)
def test_a_row_takes_effect_at_the_next_materialisation_after_arrival(delay, event, effective):
    times = pa.chunked_array([pa.array([event], TIMESTAMP)])
    assert effective_time(replace(VIEW, delay=delay), times).to_pylist() == [effective]


def test_only_rows_of_the_span_are_returned_and_of_an_hour_the_last():
    raw = scans(
        ("a", at(hours=-1), 1.0),
        ("a", at(minutes=5), 2.0),
        ("a", at(minutes=50), 3.0),
        ("b", at(minutes=5), 4.0),
        ("a", at(days=1), 5.0),
    )
    rows = compute(VIEW, raw, MIDNIGHT, MIDNIGHT + timedelta(days=1)).sort_by("depot").to_pylist()
    assert [(row["depot"], row["queue"], row["effective_time"]) for row in rows] == [
        ("a", 3.0, at(hours=1)),
        ("b", 4.0, at(hours=1)),
    ]


def test_sql_and_python_give_the_same():
    raw = scans(("a", at(minutes=5), 2.0), ("b", at(minutes=7), 4.0))
    python = replace(VIEW, sql=None, python=lambda frame: frame.rename(columns={"scanned_at": "event_time"}))
    end = MIDNIGHT + timedelta(days=1)
    one, other = (compute(view, raw, MIDNIGHT, end).sort_by("depot") for view in (VIEW, python))
    assert one.equals(other)


def test_two_rows_for_one_entity_and_time_are_refused():
    raw = scans(("a", at(minutes=5), 2.0), ("a", at(minutes=5), 3.0))
    with pytest.raises(UserError, match="several rows for one entity and event time"):
        compute(VIEW, raw, MIDNIGHT, MIDNIGHT + timedelta(days=1))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (replace(VIEW, sql="SELECT depo FROM scans"), "the SQL of feature view 'queue' fails"),
        (replace(VIEW, sql=None, python=lambda frame: frame), "does not return event_time"),
    ],
)
def test_a_view_that_does_not_yield_what_it_declares_is_refused(view, message):
    with pytest.raises(UserError, match=message):
        compute(view, scans(("a", at(minutes=5), 2.0)), MIDNIGHT, MIDNIGHT + timedelta(days=1))
