"""Whatever is sent to the running app: it answers as its contract says, and never with a server's error."""

import csv
import io
from collections import Counter
from shutil import copytree

import pyarrow as pa
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from pipelines.feature.decode import ARROW, CSV, FORMATS
from tests.conftest import NOW
from tests.e2e.conftest import running
from tests.problems import parcels

ROWS = parcels.read("parcels", NOW, NOW.replace(day=26)).slice(0, 5)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def _csv():
    text = io.StringIO()
    writer = csv.DictWriter(text, ROWS.column_names)
    writer.writeheader()
    writer.writerows({**row, "asked_at": row["asked_at"].isoformat()} for row in ROWS.to_pylist())
    return text.getvalue().encode()


def _arrow():
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ROWS.schema) as stream:
        stream.write_table(ROWS)
    return sink.getvalue().to_pybytes()


@st.composite
def bodies(draw, body):
    """A valid body, some bytes of it replaced or cut off, or any bytes."""
    changed = bytearray(body)
    for position in draw(st.lists(st.integers(0, len(body) - 1), max_size=6)):
        changed[position] = draw(st.integers(0, 255))
    return draw(
        st.sampled_from([body, bytes(changed), bytes(changed[: draw(st.integers(0, len(body)))])]) | st.binary()
    )


for media_type, body in ((CSV, _csv()), (ARROW, _arrow())):
    schemathesis.openapi.media_type(media_type, bodies(body))


@pytest.fixture(scope="module")
def contract(released_home, tmp_path_factory):
    with running(copytree(released_home, tmp_path_factory.mktemp("fuzzed") / "home"), max_rows=50) as served:
        yield schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def fuzz(contract, examples):
    """Ask with requests made from the contract, and with ones that it forbids; return how often each was answered."""
    answered = Counter()
    for operation in (found.ok() for found in contract.get_all_operations()):
        for mode in GenerationMode:
            if mode.is_negative and operation.path != "/invocations":
                continue  # a GET without parameters forbids nothing

            @settings(deadline=None, max_examples=examples, suppress_health_check=list(HealthCheck))
            @given(operation.as_strategy(generation_mode=mode))
            def send(case):
                reply = case.call_and_validate(checks=CHECKS)
                answered[case.path, case.media_type, reply.status_code] += 1

            send()
    return answered


def told(answered):
    for (path, media_type, status), count in sorted(answered.items(), key=str):
        print(f"{path} {media_type or ''} {status}: {count}")  # noqa: T201 - shown with -s, and where the test fails
    return answered


def test_the_app_keeps_its_contract(contract):
    answered = told(fuzz(contract, 200))
    for media_type in FORMATS:
        assert answered["/invocations", media_type, 200] > 3
        assert answered["/invocations", media_type, 400] > 3


@pytest.mark.fuzz
def test_the_app_keeps_its_contract_for_long(contract):
    assert told(fuzz(contract, 5000))
