"""Entities: what the join finds offline, the online store finds, in each of its adapters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import boto3
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.adapters.aws.clients import client
from pipelines.adapters.aws.online import DynamoOnline
from pipelines.adapters.local.online import SqliteOnline
from pipelines.config import NUMERIC, Column, FeatureView, Problem, RequestFeatures, ServingConfig, UserError
from pipelines.feature import point_in_time
from pipelines.feature.engineer import compute
from pipelines.feature.entity import entity_key, with_text
from pipelines.feature.materialise import online_rows
from pipelines.feature.online import OnlineFeatures
from pipelines.feature.request import from_table, without_nan
from pipelines.storage.tables import ARROW_TYPES
from tests.cloud.provision import making
from tests.conftest import PROBLEMS

START, ASKED = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
TEXTS = st.sampled_from(["None", "", "1.0", "1", "true", "nan", "a\x1fb", "a", "b", "\x1e0"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
)
VALUES = {
    "string": TEXTS | st.none(),
    "integer": st.sampled_from([0, 1, -1, 2**53, -(2**53)]) | st.integers(-5, 5) | st.none(),
    "boolean": st.booleans() | st.none(),
}
KINDS = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=2)


@st.composite
def cases(draw):
    """The types of an entity's columns, the raw rows of a view, and requests."""
    kinds = draw(KINDS)
    entity = st.tuples(*(VALUES[kind] for kind in kinds))
    known = draw(st.lists(entity, min_size=1, max_size=8, unique=True))
    asked = draw(st.lists(st.sampled_from(known) | entity, min_size=1, max_size=8))
    return kinds, known, asked


@pytest.fixture(params=["embedded", pytest.param("moto", marks=pytest.mark.cloud)])
def online(request, tmp_path):
    if request.param == "embedded":
        yield SqliteOnline(tmp_path / "online.db")
        return
    url = request.getfixturevalue("emulator")
    with making(boto3.Session(), url) as made:
        yield DynamoOnline(client(made.session, "dynamodb", url, attempts=3), made.table(), timedelta(days=1))


def columns(kinds, rows):
    arrays = zip(*rows, strict=True)
    return {
        f"e{n}": pa.array(values, ARROW_TYPES[kind]) for n, (kind, values) in enumerate(zip(kinds, arrays, strict=True))
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(cases())
def test_the_online_store_finds_what_the_join_finds(online, case):
    kinds, known, asked = case
    names = [f"e{n}" for n in range(len(kinds))]
    quoted = ", ".join(names)
    view = FeatureView(
        name=f"v{uuid4().hex}",
        description="",
        entity=tuple(names),
        table="raw",
        features={"value": NUMERIC},
        every=timedelta(hours=1),
        ttl=timedelta(days=9),
        sql=f"SELECT {quoted}, happened AS event_time, value FROM raw",
    )
    raw = pa.table(
        columns(kinds, known) | {"happened": [START] * len(known), "value": [float(n) for n in range(len(known))]}
    )
    rows = compute(view, raw, START, ASKED)
    online.write(dict(online_rows(view, rows)), {view.versioned_name: ASKED})
    schema = {name: Column(type=kind, nullable=True) for name, kind in zip(names, kinds, strict=True)}
    schema["asked"] = Column(type="timestamp")
    requests = pa.table(columns(kinds, asked) | {"asked": [ASKED] * len(asked)})
    offline = point_in_time.join(with_text(requests, names), "asked", [(view, rows)])["value"].to_pylist()
    config = SimpleNamespace(event_time="asked", request_columns=schema, serving=ServingConfig())
    nothing = RequestFeatures(features={}, compute=lambda _: {}, pinned="0")
    problem = SimpleNamespace(config=config, views=(view,), request_features=nothing, features={"value": NUMERIC})
    found = OnlineFeatures(problem, online)(from_table(requests, schema))
    served = without_nan(found.features["value"].tolist())
    assert served == offline
    expected = {entity: float(n) for n, entity in enumerate(known) if None not in entity}
    assert offline == [expected.get(entity) for entity in asked]


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=2, max_size=2, unique_by=tuple))
def test_no_two_entities_have_one_key(entities):
    one, other = map(entity_key, entities)
    assert one != other


def test_a_float_is_no_entity():
    problem = Problem.load(PROBLEMS[0])
    view = replace(problem.views[0], entity=("weight",))
    given_views = replace(problem)
    given_views.__dict__["definitions"] = SimpleNamespace(views=(view,))
    with pytest.raises(UserError, match="'weight' is a float; an entity is a string, integer, boolean"):
        _ = given_views.views
