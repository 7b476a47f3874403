"""What was known when, against histories of ingests that plain Python remembers whole."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import NUMERIC, FeatureView
from pipelines.feature import knowledge, point_in_time
from pipelines.feature.engineer import compute_versions
from pipelines.feature.window import corrected_rows, window_join
from pipelines.storage.sql import session
from pipelines.storage.tables import TIMESTAMP

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LOOKBACK, TTL = 40 * MINUTE, 90 * MINUTE
SCHEMA = pa.schema([("shop", pa.string()), ("at", TIMESTAMP), ("value", pa.float64())])


def view(name, table, every, delay):
    """The sum of a shop's values in the 40 minutes up to each of its events."""
    return FeatureView(
        name=name,
        description="",
        entity=("shop",),
        table=table,
        features={f"{name}_sum": NUMERIC},
        every=every,
        delay=delay,
        ttl=TTL,
        lookback=LOOKBACK,
        sql=f"""SELECT shop, "at" AS event_time, sum(value) OVER (PARTITION BY shop ORDER BY "at"
            RANGE BETWEEN INTERVAL 40 MINUTES PRECEDING AND CURRENT ROW) AS {name}_sum FROM {table}""",
    )


AT = {"sales": "at", "returns": "at"}
SALES = view("sales", "sales", 15 * MINUTE, timedelta())
RETURNS = view("returns", "returns", 10 * MINUTE, 25 * MINUTE)

hours = st.integers(0, 4)
shops, minutes = st.sampled_from(["a", "b"]), st.integers(0, 5 * 60 - 1)


@st.composite
def histories(draw):
    """Ingests of whole hours, one after another: the moment, the span, and the rows, a time at most once a shop."""
    found, moment = [], START
    for _ in range(draw(st.integers(1, 5))):
        moment += draw(st.integers(1, 150)) * MINUTE
        first = draw(hours)
        start, end = START + first * HOUR, START + (first + draw(st.integers(1, 3))) * HOUR
        keys = draw(st.lists(st.tuples(shops, minutes), max_size=12, unique=True))
        rows = [(shop, START + minute * MINUTE, float(draw(st.integers(1, 4)))) for shop, minute in keys]
        found.append((moment, start, end, [row for row in rows if start <= row[1] < end]))
    return found


def as_table(rows):
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def ingested(history):
    """The versions of a raw table after these ingests."""
    table, properties = knowledge.versioned(SCHEMA).empty_table(), {}
    for moment, start, end, rows in history:
        inside = pa.compute.and_(
            pa.compute.greater_equal(table["at"], pa.scalar(start, TIMESTAMP)),
            pa.compute.less(table["at"], pa.scalar(end, TIMESTAMP)),
        )
        revised, recorded = knowledge.arrived(
            table.filter(inside), properties, as_table(rows), "at", start, end, moment
        )
        table = pa.concat_tables([table.filter(pa.compute.invert(inside)), revised])
        properties |= recorded
    return table


def known(history, moment):
    """The rows that were known at a moment, by the rule: of each time the last ingest by then, but the first always."""
    found = []
    for minute in range(8 * 60):
        time = START + minute * MINUTE
        covering = [one for one in history if one[1] <= time < one[2]]
        by_then = [one for one in covering[1:] if one[0] <= moment]
        for one in [*covering[:1], *by_then][-1:]:
            found += [row for row in one[3] if row[1] == time]
    return found


def brute_force(history, view, shop, asked, known_at):
    """The feature that a request sees: computed anew, from what was known, for the latest event that took effect."""
    rows = [(time, value) for one, time, value in known(history, known_at) if one == shop]
    effective = [time for time, _ in rows if takes_effect(view, time) <= asked]
    if not effective or asked > max(effective) + TTL:
        return None
    return sum(value for time, value in rows if max(effective) - LOOKBACK <= time <= max(effective))


def takes_effect(view, time):
    return START + ((time + view.delay - START) // view.every + 1) * view.every


@settings(max_examples=50)
@given(histories())
def test_each_moment_shows_the_rows_that_were_known_then(history):
    versions = ingested(history)
    for moment, *_ in history:
        rows = knowledge.known_at(versions, moment).to_pylist()
        assert Counter(map(tuple, (row.values() for row in rows))) == Counter(known(history, moment))
    assert Counter(tuple(row.values()) for row in knowledge.known_now(versions).to_pylist()) == Counter(
        known(history, datetime.max.replace(tzinfo=UTC))
    )


@settings(max_examples=25)
@given(histories())
def test_the_same_rows_again_change_nothing(history):
    versions = ingested(history)
    moment, start, end, _ = history[-1]
    rows = [row for row in known(history, moment) if start <= row[1] < end]
    again = ingested([*history, (moment + HOUR, start, end, rows)])
    assert sorted(map(repr, again.to_pylist())) == sorted(map(repr, versions.to_pylist()))


def window(requests, views):
    keyed = requests.append_column("id", pa.array(range(requests.num_rows), pa.int64()))
    tables = {f"view_{number}": rows for number, (_, rows) in enumerate(views)}
    sql = window_join("given", "id", "asked_at", [(view, f"view_{n}") for n, (view, _) in enumerate(views)])
    with session(given=keyed, **tables) as connection:
        return connection.sql(sql).to_arrow_table().sort_by("key").drop_columns(["key"])


@settings(max_examples=40)
@given(histories(), histories(), st.lists(st.tuples(shops, st.integers(0, 12 * 60)), min_size=1, max_size=25))
def test_requests_see_what_was_known_at_their_moment_of_several_tables(sales, returns, asked):
    asked = [(shop, START + minute * MINUTE) for shop, minute in asked]
    requests = pa.table({"shop": [shop for shop, _ in asked], "asked_at": pa.array([at for _, at in asked], TIMESTAMP)})
    span = START, START + 9 * HOUR
    views = [
        (v, compute_versions(v, {v.table: ingested(h)}, {v.table: "at"}, *span))
        for v, h in ((SALES, sales), (RETURNS, returns))
    ]
    expected = {
        "sales_sum": [brute_force(sales, SALES, shop, at, at) for shop, at in asked],
        "returns_sum": [brute_force(returns, RETURNS, shop, at, at) for shop, at in asked],
    }
    assert point_in_time.join(requests, "asked_at", views).to_pydict() == expected
    assert window(requests, views).to_pydict() == expected


@settings(max_examples=25)
@given(histories(), st.lists(st.tuples(shops, st.integers(0, 12 * 60)), min_size=1, max_size=25))
def test_corrected_requests_see_what_is_known_of_their_time_now(sales, asked):
    asked = [(shop, START + minute * MINUTE) for shop, minute in asked]
    requests = pa.table({"shop": [shop for shop, _ in asked], "asked_at": pa.array([at for _, at in asked], TIMESTAMP)})
    versions = compute_versions(SALES, {"sales": ingested(sales)}, AT, START, START + 9 * HOUR)
    now = datetime.max.replace(tzinfo=UTC)
    expected = [brute_force(sales, SALES, shop, at, now) for shop, at in asked]
    joined = point_in_time.join(requests, "asked_at", [(SALES, knowledge.known_now(versions))])
    assert joined["sales_sum"].to_pylist() == expected
    sql = window_join("given", "id", "asked_at", [(SALES, corrected_rows(SALES, "versions"))])
    keyed = requests.append_column("id", pa.array(range(requests.num_rows), pa.int64()))
    with session(given=keyed, versions=versions) as connection:
        assert connection.sql(sql).to_arrow_table().sort_by("key")["sales_sum"].to_pylist() == expected


@pytest.mark.parametrize("hours_each", [1, 2])
def test_views_do_not_depend_on_the_spans_they_are_computed_in(hours_each):
    history = [
        (START + 9 * HOUR, START, START + 8 * HOUR, [("a", START + 7 * n * MINUTE, 1.0) for n in range(60)]),
        (START + 10 * HOUR, START, START + 8 * HOUR, [("a", START + 7 * n * MINUTE, 1.0 + n % 2) for n in range(55)]),
    ]
    raw, width = {"sales": ingested(history)}, hours_each * HOUR
    whole = compute_versions(SALES, raw, AT, START, START + 8 * HOUR)
    parts = [compute_versions(SALES, raw, AT, START + n * width, START + (n + 1) * width) for n in range(8)]
    parts = parts[: 8 // hours_each]
    assert sorted(map(repr, pa.concat_tables(parts).to_pylist())) == sorted(map(repr, whole.to_pylist()))
    assert whole["known_until"].null_count < whole.num_rows
