"""The diagram shows what is registered: each component with its parts, and what it builds on."""

import pytest

from infra.resource import Resource
from infra.tools.diagram import mermaid
from tests.infra.environments import environment

pytestmark = pytest.mark.infra


def component(name):
    return Resource(f"mlops:infra:{name}", name.lower(), urn=name, parent="root")


def part(token, home, *needs):
    return Resource(f"aws:{token}", home, urn=f"{home}.{token}", parent=home, needs=tuple(needs))


def test_parts_are_counted_and_only_direct_needs_are_drawn():
    resources = [
        *(component(name) for name in ("Keys", "Lake", "Serving")),
        part("kms/key:Key", "Keys"),
        part("s3/bucket:Bucket", "Lake", "Keys.kms/key:Key"),
        Resource("aws:s3/bucket:Bucket", "second", urn="Lake.second", parent="Lake"),
        part("sagemaker/endpoint:Endpoint", "Serving", "Lake.second", "Keys.kms/key:Key"),
    ]
    assert mermaid(resources).splitlines() == [
        "flowchart LR",
        '  Keys["<b>Keys</b><br/>Key"]',
        '  Lake["<b>Lake</b><br/>Bucket (2)"]',
        '  Serving["<b>Serving</b><br/>Endpoint"]',
        "  Lake --> Keys",
        "  Serving --> Lake",
    ]


def test_every_resource_of_an_environment_is_in_it():
    drawn = mermaid(environment("prod"))
    kinds = {one.type.rpartition(":")[2] for one in environment("prod") if one.custom}
    assert {kind for kind in kinds if kind not in drawn} == {"BucketObjectv2", "Parameter"}  # the document itself
