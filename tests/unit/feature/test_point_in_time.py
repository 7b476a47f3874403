"""The join against one that anybody can check by reading it."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import CATEGORICAL, NUMERIC, FeatureView
from pipelines.feature import point_in_time
from pipelines.feature.knowledge import since_they_happened
from pipelines.feature.point_in_time import last_effective, latest
from pipelines.feature.window import window_join
from pipelines.storage.sql import session
from pipelines.storage.tables import TIMESTAMP

START = datetime(2024, 1, 1, tzinfo=UTC)
TTL = timedelta(seconds=40)


def view(name: str, entity: tuple[str, ...], *features: str) -> FeatureView:
    kinds = {feature: CATEGORICAL if feature.startswith("text") else NUMERIC for feature in features}
    every = timedelta(seconds=1)
    return FeatureView(
        name=name, description="", entity=entity, table="t", features=kinds, every=every, ttl=TTL, sql="SELECT 1"
    )


def window(requests, event_time, views):
    """The join in the form for other engines, on DuckDB."""
    keyed = requests.append_column("id", pa.array(range(requests.num_rows), pa.int64()))
    tables = {f"view_{number}": as_versions(rows) for number, (_, rows) in enumerate(views)}
    sql = window_join("given", "id", event_time, [(view, f"view_{n}") for n, (view, _) in enumerate(views)])
    with session(given=keyed, **tables) as connection:
        joined = connection.sql(sql).to_arrow_table()
    assert joined.num_rows == requests.num_rows
    return joined.sort_by("key").drop_columns(["key"])


def as_versions(rows):
    return rows if "known_from" in rows.column_names else since_they_happened(rows)


both_forms = pytest.mark.parametrize("join", [point_in_time.join, window])

ONE, TWO = view("one", ("city",), "a", "text_a"), view("two", ("city", "street"), "b")
seconds = st.integers(0, 100).map(lambda second: START + timedelta(seconds=second))
cities, streets = st.sampled_from(["x", "y", "z'"]), st.sampled_from(["1", "2"])
requests = st.lists(st.tuples(seconds, cities, streets), max_size=30)
waits = st.integers(0, 15).map(lambda second: timedelta(seconds=second))
rows_of_one = st.lists(
    st.tuples(cities, seconds, waits, st.none() | st.integers(0, 9).map(float), st.none() | st.just("t")), max_size=30
)
rows_of_two = st.lists(st.tuples(cities, streets, seconds, waits, st.integers(0, 9).map(float)), max_size=30)


def brute_force(requests, rows, keys):
    """Of the rows of the request's entity that are effective and alive, take the features of the latest."""
    found = []
    for asked, *entity in requests:
        best = None
        for row in rows:
            same = list(row["entity"]) == entity[: len(keys)]
            if same and row["effective_time"] <= asked and (best is None or row["event_time"] > best["event_time"]):
                best = row
        found.append(best["values"] if best and asked <= best["event_time"] + TTL else None)
    return found


def unique(rows, of):
    return list({of(row): row for row in rows}.values())


@both_forms
@given(requests=requests, one=rows_of_one, two=rows_of_two)
def test_every_request_gets_what_was_known_then_and_nothing_else(join, requests, one, two):
    one = unique(one, lambda row: (row[0], row[1]))
    two = unique(two, lambda row: (row[0], row[1], row[2]))
    one = [row for row in one if monotone(one, row, 1)]
    two = [row for row in two if monotone(two, row, 2)]
    asked = pa.table(
        {
            "when": pa.array([request[0] for request in requests], TIMESTAMP),
            "city": pa.array([request[1] for request in requests], pa.string()),
            "street": pa.array([request[2] for request in requests], pa.string()),
        }
    )
    joined = join(asked, "when", [(ONE, table(ONE, one)), (TWO, table(TWO, two))])

    expected_one = brute_force(requests, [as_row(ONE, row) for row in one], ["city"])
    expected_two = brute_force(requests, [as_row(TWO, row) for row in two], ["city", "street"])
    assert joined.num_rows == len(requests)
    assert joined["a"].to_pylist() == [values and values[0] for values in expected_one]
    assert joined["text_a"].to_pylist() == [values and values[1] for values in expected_one]
    assert joined["b"].to_pylist() == [values and values[0] for values in expected_two]


def monotone(rows, row, entity):
    """Say whether no later row of the entity takes effect before this one, as a view's delay never lets happen."""
    later = [other for other in rows if other[:entity] == row[:entity] and other[entity] > row[entity]]
    return all(other[entity] + other[entity + 1] >= row[entity] + row[entity + 1] for other in later)


def as_row(view, row):
    entity = len(view.entity)
    return {
        "entity": row[:entity],
        "event_time": row[entity],
        "effective_time": row[entity] + row[entity + 1],
        "values": row[entity + 2 :],
    }


def table(view, rows):
    entity = len(view.entity)
    columns = {name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(view.entity)}
    columns["event_time"] = pa.array([row[entity] for row in rows], TIMESTAMP)
    columns["effective_time"] = pa.array([row[entity] + row[entity + 1] for row in rows], TIMESTAMP)
    for position, (name, kind) in enumerate(view.features.items()):
        values = [row[entity + 2 + position] for row in rows]
        columns[name] = pa.array(values, pa.string() if kind is CATEGORICAL else pa.float32())
    return pa.table(columns)


@both_forms
def test_a_null_of_the_latest_row_is_not_filled_from_an_older_one(join):
    rows = table(
        ONE, [("x", START, timedelta(), 1.0, "t"), ("x", START + timedelta(seconds=1), timedelta(), None, None)]
    )
    asked = pa.table({"when": pa.array([START + timedelta(seconds=5)], TIMESTAMP), "city": ["x"]})
    assert join(asked, "when", [(ONE, rows)]).to_pylist() == [{"a": None, "text_a": None}]


@both_forms
def test_a_value_counts_from_its_effective_second_to_the_last_of_its_life(join):
    rows = table(ONE, [("x", START, timedelta(seconds=10), 1.0, "t")])
    offsets = [9, 10, 40, 41]
    asked = pa.table(
        {"when": pa.array([START + timedelta(seconds=s) for s in offsets], TIMESTAMP), "city": ["x"] * len(offsets)}
    )
    assert join(asked, "when", [(ONE, rows)])["a"].to_pylist() == [None, 1.0, 1.0, None]


def test_of_rows_that_take_effect_together_the_last_is_served():
    together = [
        ("x", START, timedelta(seconds=9), 1.0, None),
        ("x", START + timedelta(seconds=4), timedelta(seconds=5), 2.0, None),
    ]
    assert last_effective(ONE, table(ONE, together))["a"].to_pylist() == [2.0]


def test_the_latest_row_of_each_entity():
    rows = [
        ("x", START, timedelta(), 1.0, None),
        ("y", START, timedelta(), 3.0, None),
        ("x", START + timedelta(seconds=4), timedelta(), 2.0, None),
    ]
    assert sorted(latest(ONE, table(ONE, rows))["a"].to_pylist()) == [2.0, 3.0]
