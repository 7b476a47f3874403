"""Views of several raw tables and of other views, against plain Python that remembers every ingest."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import NUMERIC, FeatureView, Problem, UserError
from pipelines.config.features import resolved
from pipelines.feature import FeatureParams, knowledge, point_in_time
from pipelines.feature.engineer import _taken_together, compute, compute_versions
from pipelines.feature.materialise import entity_key
from pipelines.scaffold.check import errors
from pipelines.storage.tables import TIMESTAMP
from pipelines.training.extract import training_frame
from tests.conftest import HISTORY
from tests.unit.feature.test_knowledge import HOUR, MINUTE, START, histories, ingested, known, shops, takes_effect

TTL, SPAN = 90 * MINUTE, 40 * MINUTE
TABLES = ("sales", "returns")
TIMES = dict.fromkeys(TABLES, "at")
COMMON = {"description": "", "entity": ("shop",), "every": 15 * MINUTE, "ttl": TTL, "lookback": SPAN}

SALES = FeatureView(
    name="recent_sales",
    table="sales",
    features={"sold": NUMERIC},
    sql="""SELECT shop, "at" AS event_time, sum(value) OVER (PARTITION BY shop ORDER BY "at"
        RANGE BETWEEN INTERVAL 40 MINUTES PRECEDING AND CURRENT ROW) AS sold FROM sales""",
    **COMMON,
)
BALANCE = FeatureView(  # of two raw tables
    name="balance",
    sources=("sales", "returns"),
    features={"net": NUMERIC},
    delay=10 * MINUTE,
    sql="""WITH events AS (
            SELECT shop, "at", sum(value) AS value FROM (
                SELECT shop, "at", value FROM sales UNION ALL SELECT shop, "at", -value FROM returns
            ) GROUP BY shop, "at"
        ) SELECT shop, "at" AS event_time, sum(value) OVER (PARTITION BY shop ORDER BY "at"
        RANGE BETWEEN INTERVAL 40 MINUTES PRECEDING AND CURRENT ROW) AS net FROM events""",
    **COMMON,
)


def _peak(balance, recent_sales):
    """Of each balance, the greatest of the sales views' values in the 40 minutes up to it, plus the balance."""
    pairs = balance.merge(recent_sales.rename(columns={"event_time": "then"}), on="shop")
    pairs = pairs[(pairs["then"] <= pairs["event_time"]) & (pairs["then"] >= pairs["event_time"] - SPAN)]
    peaks = pairs.groupby(["shop", "event_time", "net"], as_index=False)["sold"].max()
    return peaks.assign(peak=peaks["sold"] + peaks["net"])


PEAK = FeatureView(  # of two views, in Python
    name="peak",
    sources=("balance", "recent_sales"),
    features={"peak": NUMERIC},
    delay=25 * MINUTE,
    python=_peak,
    **COMMON,
)
GIVEN = (PEAK, BALANCE, SALES)
VIEWS = resolved(GIVEN, TABLES)


def sold(rows, time):
    return sum(value for at, value in rows if time - SPAN <= at <= time)


def expected(view, histories, shop, asked, known_at):
    """What a request sees: the graph computed anew from what was known, in loops, for the latest effective event."""
    sales, returns = (
        [(at, value) for one, at, value in known(histories[name], known_at) if one == shop] for name in TABLES
    )
    values = {at: sold(sales, at) for at, _ in sales}
    if view.name != "recent_sales":
        nets = {at: sold(sales, at) - sold(returns, at) for at, _ in [*sales, *returns]}
        peaks = {
            at: max(values[then] for then in values if at - SPAN <= then <= at) + net
            for at, net in nets.items()
            if any(at - SPAN <= then <= at for then in values)
        }
        values = nets if view.name == "balance" else peaks
    effective = [at for at in values if takes_effect(view, at) <= asked]
    if not effective or asked > max(effective) + TTL:
        return None
    return values[max(effective)]


@settings(max_examples=12, deadline=None)
@given(histories(), histories(), st.lists(st.tuples(shops, st.integers(0, 12 * 60)), min_size=1, max_size=25))
def test_a_graph_of_views_shows_each_request_what_was_known_then(sales, returns, asked):
    raw = {"sales": ingested(sales), "returns": ingested(returns)}
    asked = [(shop, START + minute * MINUTE) for shop, minute in asked]
    requests = pa.table({"shop": [shop for shop, _ in asked], "asked_at": pa.array([at for _, at in asked], TIMESTAMP)})
    own = [(view, {name: raw[name] for name in view.raw_tables}) for view in VIEWS]
    rows = [(view, compute_versions(view, given, TIMES, START, START + 9 * HOUR)) for view, given in own]
    histories = {"sales": sales, "returns": returns}
    assert point_in_time.join(requests, "asked_at", rows).to_pydict() == {
        next(iter(view.features)): [expected(view, histories, shop, at, at) for shop, at in asked] for view in VIEWS
    }
    now = datetime.max.replace(tzinfo=START.tzinfo)
    latest = [(view, knowledge.known_now(versions)) for view, versions in rows]
    assert point_in_time.join(requests, "asked_at", latest).to_pydict() == {
        next(iter(view.features)): [expected(view, histories, shop, at, now) for shop, at in asked] for view in VIEWS
    }


@settings(max_examples=8, deadline=None)
@given(histories(), histories(), st.integers(2, 5))
def test_a_graph_does_not_depend_on_the_spans_it_is_computed_in(sales, returns, hours_each):
    raw, peak = {"sales": ingested(sales), "returns": ingested(returns)}, VIEWS[0]
    whole = compute_versions(peak, raw, TIMES, START, START + 9 * HOUR)
    # Of rows that take effect together only the last is kept, so a span ends between two such moments.
    later = (_taken_together(peak, START + hour * HOUR)[0] for hour in range(hours_each, 9, hours_each))
    edges = [START, *later, START + 9 * HOUR]
    parts = [compute_versions(peak, raw, TIMES, start, end) for start, end in pairwise(edges)]
    found = [row for part in parts for row in part.to_pylist()]
    assert sorted(map(repr, found)) == sorted(map(repr, whole.to_pylist()))


def test_a_row_is_known_from_the_latest_moment_of_what_it_is_made_from():
    first, late, later = START + 10 * HOUR, START + 11 * HOUR, START + 12 * HOUR
    day = (START, START + 8 * HOUR)
    raw = {
        "sales": ingested([(first, *day, []), (late, *day, [("a", START + HOUR, 5.0)])]),
        "returns": ingested([(first, *day, []), (later, *day, [("a", START + HOUR, 2.0)])]),
    }
    rows = compute_versions(VIEWS[1], raw, TIMES, *day).sort_by("known_from").to_pylist()
    assert [(row["net"], row["known_from"], row["known_until"]) for row in rows] == [
        (5.0, late, later),
        (3.0, later, None),
    ]


@pytest.mark.parametrize("change", [{"sql": SALES.sql.replace("sum", "max")}, {"ttl": HOUR}])
def test_a_change_of_a_view_changes_the_versions_of_those_that_read_it(change):
    before = {view.name: view.version for view in VIEWS}
    after = {view.name: view.version for view in resolved((PEAK, BALANCE, replace(SALES, **change)), TABLES)}
    assert {name for name in before if before[name] != after[name]} == {"peak", "recent_sales"}


def test_the_version_of_a_view_of_one_raw_table_is_what_it_was_alone():
    assert VIEWS[2].version == SALES.version and VIEWS[1].version == BALANCE.version
    assert VIEWS[0].raw_tables == ("sales", "returns") and VIEWS[0].horizon == 2 * SPAN


def reading(name, *sources, **given):
    return replace(BALANCE, name=name, sources=sources, **given)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ((reading("a", "sales", "b"), reading("b", "c"), reading("c", "sales", "a")), "in a circle: a → b → c → a;"),
        ((reading("a", "a", "sales"),), "in a circle: a → a;"),
        ((reading("x", "a"), reading("a", "b"), reading("b", "a")), "in a circle: a → b → a;"),
        ((reading("a", "sale", "returns"),), "'a' reads 'sale', which is no raw table.*did you mean 'sales'"),
        ((reading("a", "recent_sale"), SALES), "did you mean 'recent_sales'"),
        ((reading("returns", "sales"), reading("a", "sales", "returns")), "'returns', which is a raw table and a"),
        ((replace(SALES, table="sale"),), "reads no table 'sale'; did you mean 'sales'"),
        ((reading("a", "b", delay=MINUTE), BALANCE, reading("b", "balance")), "'b', whose rows arrive 0:10:00 after"),
    ],
)
def test_a_graph_that_cannot_be_meant_is_refused(views, message):
    with pytest.raises(UserError, match=message):
        resolved(views, TABLES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ()}, "needs either table, the raw table it reads, or sources"),
        ({"table": "sales"}, "needs either table, the raw table it reads, or sources"),
        ({"sources": ("sales", "sales")}, "names a source twice"),
        ({"lookback": timedelta()}, "reads several sources.*'lookback'"),
    ],
)
def test_a_view_says_what_it_reads_and_how_far_back(change, message):
    with pytest.raises(UserError, match=message):
        replace(BALANCE, **change)


def test_errors_of_a_graph_name_the_view_and_what_it_reads():
    wrong = replace(PEAK, python=lambda balance, recent_sales: balance[["nothing"]])
    (view, *_) = resolved((wrong, BALANCE, SALES), TABLES)
    empty = pa.table({"shop": pa.array([], pa.string()), "at": pa.array([], TIMESTAMP), "value": pa.array([], "f8")})
    with pytest.raises(UserError, match=r"'peak' wants .*nothing.*'balance' and 'recent_sales' lack"):
        compute(view, dict.fromkeys(TABLES, empty), START, START + HOUR)


LOAD = FeatureView(
    name="load",
    description="The depot's queue for each parcel that was delivered from it in the three hours before the scan.",
    entity=("depot",),
    sources=("queue", "parcels"),
    features={"load": NUMERIC},
    every=timedelta(minutes=15),
    ttl=timedelta(hours=6),
    lookback=timedelta(hours=3),
    sql="""SELECT queue.depot, queue.event_time, any_value(queue_now) / (1 + count(asked_at)) AS load
        FROM queue LEFT JOIN parcels ON parcels.depot = queue.depot AND asked_at <= queue.event_time
            AND asked_at >= queue.event_time - INTERVAL 3 HOURS GROUP BY queue.depot, queue.event_time""",
)


@pytest.fixture
def graph_platform(new_platform, monkeypatch):
    platform = new_platform()
    views = (LOAD, *platform.problem.views)
    problem = Problem(platform.problem.package, platform.problem.config)
    monkeypatch.setitem(problem.__dict__, "views", resolved(views, problem.config.tables))
    monkeypatch.setitem(platform.__dict__, "problem", problem)
    return platform


def test_a_view_of_a_view_comes_to_the_frame_and_the_online_store(graph_platform):
    platform, end = graph_platform, HISTORY + timedelta(days=10)
    for day in range(0, 10, 5):
        start = HISTORY + timedelta(days=day)
        platform.run("feature", FeatureParams(start=start, end=start + timedelta(days=5)))
    view = platform.problem.views[0]
    scans, parcels = (platform.problem.read(name, HISTORY, end).to_pandas() for name in ("scans", "parcels"))

    def load(scan):
        asked = parcels[parcels["depot"] == scan["depot"]]["asked_at"]
        recent = (asked <= scan["scanned_at"]) & (asked >= scan["scanned_at"] - LOAD.lookback)
        return scan["queue"] / (1 + recent.sum())

    frame = training_frame(platform.problem, platform.tables, None, end).to_pandas().sample(40, random_state=1)
    for row in frame.to_dict("records"):
        depot = parcels.set_index("parcel_id").loc[row["key"], "depot"]
        seen = scans[(scans["depot"] == depot) & (scans["scanned_at"] < row["event_time"].floor("15min"))]
        assert row["load"] == pytest.approx(load(seen.iloc[-1]), rel=1e-5)
    depots = sorted(scans["depot"].unique())
    keys = {(view.versioned_name, entity_key((depot,))): depot for depot in depots}
    found = platform.online.read(list(keys))
    for key, depot in keys.items():
        last = scans[scans["depot"] == depot].iloc[-1]
        assert found[key].values[0] == pytest.approx(load(last), rel=1e-5)


def test_problem_check_tells_a_circle_with_its_path(monkeypatch):
    package = "tests.problems.late"
    problem = Problem.load(package)
    one, other = (
        replace(LOAD, name=name, sources=("scans", reads)) for name, reads in (("one", "two"), ("two", "one"))
    )
    module = __import__(f"{package}.features", fromlist=["VIEWS"])
    monkeypatch.setattr(module, "VIEWS", (one, other))
    assert any("in a circle: one → two → one" in line for line in errors(problem.package, None))
    assert json.dumps(errors(problem.package, None)).count("circle") == 1


def test_tables_of_one_view_are_corrected_in_the_same_way(monkeypatch):
    problem = Problem.load("tests.problems.late")
    parcels = problem.config.tables["parcels"].model_copy(update={"corrections": "corrected"})
    config = problem.config.model_copy(update={"tables": problem.config.tables | {"parcels": parcels}})
    module = __import__("tests.problems.late.features", fromlist=["VIEWS"])
    monkeypatch.setattr(module, "VIEWS", (LOAD, *module.VIEWS))
    with pytest.raises(UserError, match="'load' comes from tables with different 'corrections'"):
        _ = Problem(problem.package, config).views
