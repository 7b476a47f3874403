"""Random contracts and random data, through every door: each is taken or refused with a clear error, never a traceback.

``pytest -m fuzz --no-cov -n 0 tests/unit/feature/test_contract_fuzz.py`` tries thousands; each run of the tests, some.
"""

import json
import math
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.config import (
    NUMERIC,
    FeatureView,
    Problem,
    ProblemConfig,
    RequestFeatures,
    UserError,
    load_toml,
)
from pipelines.config.problem import Definitions
from pipelines.config.strict import explain
from pipelines.feature import FeatureParams
from pipelines.feature.decode import ARROW, CSV, JSON, RequestDecoder
from pipelines.feature.engineer import compute
from pipelines.feature.extract import extract
from pipelines.feature.knowledge import since_they_happened
from pipelines.feature.labels import known_labels
from pipelines.feature.offline import with_features
from pipelines.feature.request import from_table, request_features
from pipelines.feature.validate import validate
from pipelines.scaffold.check import _label, _told, _views
from tests.conftest import PROBLEMS, ROOT

BASE = load_toml(ROOT / "tests/problems/late/problem.toml", ProblemConfig).model_dump(mode="json", exclude_none=True)
START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = FeatureParams(start=START, end=START + timedelta(days=2))
KINDS = ("string", "float", "integer", "boolean", "timestamp")
NAMES = ("v", "label", "known_at", "key", "event_time", "select", "asked", "position")

TIMES = [START, START + timedelta(hours=30)] * 4 + [datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1899, 2300, 9999)]
FLOATS = [0.0, 1.0, -0.0, 0.5, 0.83, 1e5, -3.0] * 3 + [math.nan, math.inf, -math.inf, 1e39, 5e-324]
INTEGERS = [0, 1, 2, -5, 100] * 3 + [2**53, 2**53 + 1, -(2**63), 2**63 - 1]
TEXTS = [
    "a",
    "b",
    "1",
    "",
    "None",
    "nan",
    "inf",
    "1.0",
    "true",
    "日本",
    "a\0b",
    "a\x1fb",
    "2024-01-01T00:00:00Z",
    "x" * 300,
]
SORTS = {
    "float64": (pa.float64(), FLOATS),
    "float16": (pa.float16(), [0.0, 1.5, math.nan, math.inf]),
    "int64": (pa.int64(), INTEGERS),
    "int8": (pa.int8(), [0, 1, -128]),
    "uint64": (pa.uint64(), [0, 1, 2**53 + 1, 2**64 - 1]),
    "string": (pa.string(), TEXTS),
    "large_string": (pa.large_string(), TEXTS),
    "string_view": (pa.string_view(), TEXTS),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    "bool": (pa.bool_(), [True, False]),
    "decimal": (pa.decimal128(20, 4), [Decimal("0.83"), Decimal(-1), Decimal("1234567890123.4567")]),
    "time": (pa.timestamp("us", "UTC"), TIMES),
    "time_ns": (pa.timestamp("ns", "America/New_York"), [0, 1_704_067_200_123_456_789, -(2**62)]),
    "time_s": (pa.timestamp("s"), [0, 1_704_067_200, 2**62]),
    "date": (pa.date32(), [date(2024, 1, 1), date(9999, 12, 31), date(1, 1, 1)]),
    "duration": (pa.duration("us"), [0, 10]),
    "binary": (pa.binary(), [b"a", b"\xff"]),
    "list": (pa.list_(pa.int64()), [[], [1, 2]]),
    "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}]),
    "null": (pa.null(), [None]),
}
FITTING = {"string": "string", "float": "float64", "integer": "int64", "boolean": "bool", "timestamp": "time"}
LABELS = ("{v} > 0.5", "{v}", "CAST({v} AS DOUBLE)", "{v} IS NOT NULL", "{v} = 'a'", "1.0 / 0", "minutes > 60")
RULES = {
    "nullable": [True, False],
    "unique": [True],
    "personal": [True],
    "min": [0.0, -5.0, 1e300, math.nan, -math.inf],
    "max": [5.0, 1.0, -1e300, math.nan, math.inf],
    "values": [[], ["a", "b"], TEXTS],
}


def chance(draw, one_in):
    return draw.randrange(one_in) == 0


def contract(draw):
    """A column's declaration, which may be one that cannot be meant."""
    rules = {rule: draw.choice(values) for rule, values in RULES.items() if chance(draw, 9)}
    return {"type": draw.choice(KINDS), "nullable": chance(draw, 2), **rules}


def array(draw, count, kind):
    """A column of data, most often of a sort that can be read as the declared kind."""
    arrow_type, values = SORTS[draw.choice(list(SORTS)) if chance(draw, 4) else FITTING[kind]]
    some = draw.sample(values, min(len(values), draw.randint(1, 4))) + [None] * chance(draw, 3)
    return pa.array([draw.choice(some) for _ in range(count)], arrow_type)


def made(draw):
    """A problem's statement as a document, rows of its tables, and what a view takes from them."""
    name, column = draw.choice(NAMES) if chance(draw, 5) else "v", contract(draw)
    document, rows = json.loads(json.dumps(BASE)), {}
    for table, key, time in (("parcels", "parcel_id", "asked_at"), ("deliveries", "parcel_id", "delivered_at")):
        declared, count = document["tables"][table], draw.randint(0, 5)
        declared["min_rows_per_day"] = int(chance(draw, 9))
        event = {"type": "string" if chance(draw, 20) else "timestamp", "nullable": chance(draw, 20)}
        declared["columns"] = {key: {"type": "string", "unique": chance(draw, 4)}, time: event, name: column}
        data = {
            key: pa.array([f"p{n % 6}" for n in range(count)]),
            time: array(draw, count, "timestamp")
            if chance(draw, 9)
            else pa.array([draw.choice(TIMES[:2]) for _ in range(count)], pa.timestamp("us", "UTC")),
            name: array(draw, count, column["type"]),
        }
        names, arrays = list(data), list(data.values())
        if chance(draw, 20):
            names, arrays = [*names, name], [*arrays, arrays[-1]]  # a column twice
        elif chance(draw, 20):
            names, arrays = names[:-1], arrays[:-1]
        rows[table] = pa.Table.from_arrays(arrays, names=names)
    del document["tables"]["scans"], document["replay"]
    document["slices"] = []
    if chance(draw, 2):
        document["task"] = "regression"
        document["business"] |= {"over": 1.0, "under": 1.0}
        del document["business"]["false_alarm"], document["business"]["miss"]
        document["gates"]["absolute_quality"] = {"rmse": {"max": 1.0}}
        document["gates"]["champion_comparison"]["metric"] = "rmse"
    document["label"]["sql"] = draw.choice(LABELS).format(v=f'"{name}"')
    feature = draw.choice([f'"{name}"', f'max("{name}") OVER ()', "1", "1.0 / 0", "NULL", "[1]", "'a'"])
    return document, rows, name, draw.choice([name, "parcel_id"]), feature


def views_of(name, entity, feature):
    sql = f'SELECT "{entity}", max(asked_at) AS event_time, any_value({feature}) AS value FROM parcels GROUP BY 1'
    if "OVER" in feature:
        sql = f'SELECT "{entity}", asked_at AS event_time, {feature} AS value FROM parcels'
    view = FeatureView(
        name="view",
        description="",
        entity=(entity,),
        table="parcels",
        features={"value": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(days=1),
        sql=sql,
    )
    request = RequestFeatures(
        features={"given": NUMERIC}, compute=lambda fields: {"given": _number(fields, name)}, pinned="0"
    )
    return Definitions((view,), request)


def _number(fields, name):
    values = fields.get(name)
    return [0.0] * len(next(iter(fields.values()))) if values is None or values.dtype.kind != "f" else values


class Ingested:
    """The tables after an ingest that was taken: in memory, because storing them is not what is tried here."""

    def __init__(self, tables):
        self._tables = tables

    def read(self, name, versions=False, **_):
        return since_they_happened(self._tables[name]) if versions else self._tables[name]

    def snapshot(self, name):
        return 1 if name in self._tables else None


def bodies(rows):
    """Return a request of each format with the rows as they are."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    lines = [",".join(rows.column_names)]
    lines += [",".join("" if value is None else str(value) for value in row.values()) for row in _python(rows)]
    yield ARROW, sink.getvalue().to_pybytes()
    yield CSV, "\n".join(lines).encode("utf-8", "replace")
    yield JSON, json.dumps({"instances": _python(rows)}, default=str).encode()


def _python(rows):
    return [
        dict(zip(rows.column_names, values, strict=True)) for values in zip(*map(_values, rows.columns), strict=True)
    ]


def _values(column):
    try:
        return [value.isoformat() if isinstance(value, date) else value for value in column.to_pylist()]
    except (ValueError, OverflowError):  # a time that Python has not
        return column.cast(pa.int64()).to_pylist()


def through_every_door(case, seen):
    """Take a case through ingest, check, views, labels, features and requests; count how far it came."""
    document, rows, name, entity, feature = case
    config = stated(document)
    seen["stated"] += 1
    problem = Problem(PROBLEMS[0], config, views_of(name, entity, feature))
    for check in (_label, _views):
        _told(check, problem)
    for kind, body in bodies(rows["parcels"]):
        try:
            RequestDecoder(config.request_columns)(body, kind)
            seen[f"decoded {kind}"] += 1
        except UserError:
            seen["refused body"] += 1
    raw = extract(DAYS, problem, lambda table, *_: rows[table])
    validate(DAYS, problem, raw)
    seen["ingested"] += 1
    request_features(problem.request_features, from_table(raw["parcels"], config.request_columns))
    (view,) = problem.views
    tables = {f"raw.{table}": given for table, given in raw.items()}
    tables[f"features.{view.versioned_name}"] = compute(view, raw["parcels"], START, DAYS.end)
    seen["computed"] += 1
    known_labels(problem, Ingested(tables), DAYS.end)
    seen["labelled"] += 1
    with_features(problem, Ingested(tables), {}, raw["parcels"])
    seen["joined"] += 1


def stated(document):
    """Return the statement as the file of it is read."""
    try:
        return ProblemConfig.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise UserError("\n".join(explain(error, ProblemConfig))) from error


def fuzz(seeds):
    """Try a case for each seed, and return how many came how far."""
    seen = Counter()
    for seed in seeds:
        seen["cases"] += 1
        try:
            through_every_door(made(random.Random(seed)), seen)
        except UserError as error:
            seen["refused"] += 1
            seen["told"] += bool(str(error).strip())
        except Exception as error:
            error.add_note(f"the case of seed {seed}")
            raise
    return seen


def test_some_contracts_and_data_are_taken_or_refused():
    seen = fuzz(range(100))
    assert seen["refused"] == seen["told"] > 0
    assert seen["joined"] > 0


@pytest.mark.fuzz
def test_thousands_of_contracts_and_data_are_taken_or_refused():
    seen = fuzz(range(100, 2600))
    assert seen["cases"] == 2_500
    assert seen["refused"] == seen["told"]
    for stage in ("ingested", "computed", "labelled", "joined", "refused"):
        assert seen[stage] >= 50, seen
