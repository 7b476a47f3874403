"""Every adapter of a port, so that one test body runs on each: embedded, on moto's server, and on AWS if asked for.

``RATCHET_REAL_AWS=1`` adds AWS itself, with the credentials of the shell: it makes what it needs and removes it.
"""

import os
from datetime import timedelta

import boto3
import pytest

from pipelines.adapters.aws.catalog import glue_catalog
from pipelines.adapters.aws.clients import client
from pipelines.adapters.aws.objects import S3Objects
from pipelines.adapters.aws.online import DynamoOnline
from pipelines.adapters.aws.queue import EventQueue
from pipelines.adapters.aws.signer import KmsSigner
from pipelines.adapters.local.catalog import sqlite_catalog
from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.online import SqliteOnline
from pipelines.adapters.local.queue import SqliteQueue
from pipelines.adapters.local.signer import FileSigner
from pipelines.storage.tables import Tables
from tests.cloud.provision import making

REAL = os.environ.get("RATCHET_REAL_AWS") == "1"
PLACES = [
    "embedded",
    *(pytest.param(place, marks=pytest.mark.cloud) for place in ("moto", "aws")[: 1 + REAL]),
]
HIDDEN_SECONDS = 1
KEEP = timedelta(days=1)


@pytest.fixture(params=PLACES)
def made(request, monkeypatch):
    """What makes resources of AWS; None where the adapters are the embedded ones."""
    if request.param == "embedded":
        yield None
        return
    url = None
    if request.param == "moto":
        url = request.getfixturevalue("emulator")
    with making(boto3.Session(), url) as resources:
        yield resources


def connected(made, service, attempts=6):
    return client(made.session, service, made.endpoint_url, attempts=attempts)


@pytest.fixture
def objects(made, tmp_path):
    if made is None:
        return FileObjects(tmp_path / "objects")
    key = made.encryption_key()
    return S3Objects(connected(made, "s3"), made.bucket(key), key)


@pytest.fixture
def online(made, tmp_path):
    if made is None:
        return SqliteOnline(tmp_path / "online.db")
    return DynamoOnline(connected(made, "dynamodb"), made.table(), KEEP)


@pytest.fixture
def queue(made, tmp_path):
    if made is None:
        return SqliteQueue(tmp_path / "queue.db")
    return EventQueue(connected(made, "events"), connected(made, "sqs"), *made.events(), HIDDEN_SECONDS)


@pytest.fixture
def signer(made, tmp_path):
    return FileSigner(tmp_path / "keys") if made is None else KmsSigner(connected(made, "kms"), made.audit_key())


@pytest.fixture
def new_tables(made, tmp_path):
    """Open the same tables again and again, as processes do."""
    if made is None:
        return lambda: Tables(lambda: sqlite_catalog(tmp_path))
    bucket = made.bucket(made.encryption_key())
    s3 = {"s3.region": made.session.region_name}
    if made.endpoint_url:
        s3 |= {"s3.endpoint": made.endpoint_url, "s3.force-virtual-addressing": "false"}

    def load():
        return glue_catalog(connected(made, "glue"), connected(made, "glue", 1), f"s3://{bucket}/tables", s3)

    return lambda: Tables(load, f"{bucket.replace('-', '_')}_")


@pytest.fixture
def tables(new_tables):
    return new_tables()
