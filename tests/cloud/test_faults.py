"""AWS misbehaves: what is safe is tried again, what is not is told clearly, and nothing is lost or done twice."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from botocore.exceptions import ParamValidationError

from pipelines.adapters.aws.catalog import glue_catalog
from pipelines.adapters.aws.clients import client
from pipelines.adapters.aws.objects import S3Objects
from pipelines.adapters.aws.online import DynamoOnline
from pipelines.adapters.aws.queue import EventQueue
from pipelines.adapters.aws.signer import KmsSigner
from pipelines.storage.ports import OnlineRow, Unavailable
from pipelines.storage.tables import TIMESTAMP, Tables
from tests.cloud.emulator import Fault, misbehave, misbehaved

pytestmark = pytest.mark.cloud

NOW = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
THROTTLED = {"kind": "refuses", "code": "ThrottlingException"}
BUSY = {"kind": "refuses", "code": "SlowDown", "status": 503}
EXPIRED = {"kind": "refuses", "code": "ExpiredTokenException", "times": 100}


@pytest.fixture
def faults(emulator):
    return lambda *given: misbehave(emulator, *given)


def connected(made, service, **given):
    return client(made.session, service, made.endpoint_url, **given)


@pytest.fixture
def objects(made):
    key = made.encryption_key()
    return S3Objects(connected(made, "s3", attempts=9, seconds=2), made.bucket(key), key)


@pytest.fixture
def online(made):
    reader = connected(made, "dynamodb", attempts=3, seconds=0.5)
    return DynamoOnline(connected(made, "dynamodb", seconds=2), made.table(), DAY, reader)


@pytest.fixture
def queue(made):
    return EventQueue(connected(made, "events"), connected(made, "sqs"), *made.events(), 0)


@pytest.fixture
def tables(made):
    bucket = made.bucket(made.encryption_key())
    s3 = {"s3.endpoint": made.endpoint_url, "s3.region": "eu-west-1", "s3.force-virtual-addressing": "false"}
    clients = connected(made, "glue", seconds=2), connected(made, "glue", attempts=1, seconds=2)
    return Tables(lambda: glue_catalog(*clients, f"s3://{bucket}", s3), f"{bucket.replace('-', '_')}_")


# ---- objects


def test_a_store_that_is_busy_is_asked_again(objects, faults, emulator):
    faults(Fault(matches="PUT /contract", times=2, **BUSY), Fault(matches="GET /contract", times=2, **BUSY))
    objects.write("a", b"one")
    assert objects.read("a") == b"one"
    assert len(misbehaved(emulator)) == 4


def test_an_object_created_without_an_answer_counts_as_ours(objects, faults, emulator):
    faults(Fault("loses", "PUT /contract"))
    assert objects.create("a", b"one")
    assert misbehaved(emulator)[0][0] == "loses"
    assert not objects.create("a", b"two")
    assert objects.read("a") == b"one"


def test_a_creation_that_meets_another_one_is_tried_again(objects, faults):
    faults(Fault("refuses", "PUT /contract", code="ConditionalRequestConflict", status=409))
    assert objects.create("a", b"one")


def test_an_answer_that_breaks_off_is_read_again(objects, faults, emulator):
    content = bytes(range(256)) * 400
    objects.write("a", content)
    faults(Fault("breaks_off", "GET /contract", times=2))
    assert objects.read("a") == content
    assert len(misbehaved(emulator)) == 2


def test_an_answer_that_keeps_breaking_off_is_reported(objects, faults):
    objects.write("a", b"content" * 100)
    faults(Fault("breaks_off", "GET /contract", times=100))
    with pytest.raises(Unavailable, match="S3 cannot be reached"):
        objects.read("a")


def test_an_answer_that_takes_too_long_is_asked_for_again(objects, faults):
    objects.write("a", b"one")
    faults(Fault("waits", "GET /contract", seconds=3))
    assert objects.read("a") == b"one"


def test_credentials_that_expired_are_reported_at_once_with_what_to_do(objects, faults, emulator):
    faults(Fault(matches="/contract", **EXPIRED))
    with pytest.raises(Unavailable, match=r"credentials are not valid or have expired.*aws sso login"):
        objects.read("a")
    assert len(misbehaved(emulator)) == 1, "they are no better the second time"


def test_what_a_role_may_not_is_reported(objects, faults):
    faults(Fault("refuses", "/contract", code="AccessDenied", status=403, times=100))
    with pytest.raises(Unavailable, match="this role may not"):
        objects.write("a", b"")


def test_a_bucket_that_is_not_there_is_reported(objects):
    objects.bucket = "nothing-of-that-name"
    with pytest.raises(Unavailable, match=r"NoSuchBucket.*pulumi up"):
        objects.read("a")


def test_an_outage_that_is_shorter_than_the_attempts_is_waited_for(objects, faults):
    objects.write("a", b"one")
    faults(Fault("hangs_up", "/contract", times=1000, until=time.time() + 1))
    assert objects.read("a") == b"one"


def test_a_longer_outage_is_reported_and_nothing_is_half_done(objects, faults):
    objects.write("a", b"one")
    faults(Fault("hangs_up", "/contract", times=1000))
    with pytest.raises(Unavailable, match="S3 cannot be reached"):
        objects.write("a", b"two")
    faults()
    assert objects.read("a") == b"one"


# ---- online store


def test_keys_that_were_left_out_are_asked_for_again(online, faults, emulator):
    rows = {("v", str(n)): OnlineRow(NOW, (float(n),)) for n in range(40)}
    online.write(rows, {"v": NOW})
    faults(Fault("leaves_out", "BatchGetItem", times=3))
    assert online.read(rows) == rows
    assert len(misbehaved(emulator)) == 3


def test_a_table_that_omits_keys_is_reported_within_two_seconds(online, faults):
    online.write({("v", "a"): OnlineRow(NOW, (1.0,))}, {})
    faults(Fault("leaves_out", "BatchGetItem", times=1000))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="DynamoDB is busy"):
        online.read([("v", "a")])
    assert time.monotonic() - started < 2


def test_a_write_that_was_not_answered_is_written_once(online, faults):
    row = OnlineRow(NOW, (1.0,))
    faults(Fault("loses", "PutItem"), Fault(matches="PutItem", **THROTTLED))
    online.write({("v", "a"): row, ("v", "b"): row}, {"v": NOW})
    assert online.read([("v", "a"), ("v", "b")]) == {("v", "a"): row, ("v", "b"): row}


def test_a_view_is_not_said_to_be_complete_when_a_row_could_not_be_written(online, faults):
    online.write({("v", "a"): OnlineRow(NOW, (1.0,))}, {"v": NOW})
    faults(Fault(matches="PutItem", **EXPIRED))
    with pytest.raises(Unavailable):
        online.write({("v", "a"): OnlineRow(NOW + DAY, (2.0,))}, {"v": NOW + DAY})
    assert online.as_of("v") == NOW


# ---- events and signatures


def test_an_event_that_was_not_taken_is_reported(queue, faults):
    faults(Fault("takes_no_event", "PutEvents"))
    with pytest.raises(Unavailable, match="EventBridge took no event"):
        queue.send(b"{}")
    assert queue.receive() == []


def test_a_message_that_is_no_event_becomes_a_dead_letter(made, queue):
    sqs = made.client("sqs")
    sqs.send_message(QueueUrl=queue._url, MessageBody="no event at all")
    queue.send(b'{"n": 1}')
    for _ in range(4):
        found = queue.receive(2)
    assert [message.body for message in found] in ([], [b'{"n": 1}'])
    dead = made.client("sqs").list_queues(QueueNamePrefix=queue._bus)["QueueUrls"]
    (url,) = [one for one in dead if one.endswith("-dead")]
    bodies = [one["Body"] for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
    assert "no event at all" in bodies


def test_a_signature_is_asked_for_again_when_kms_is_busy(made, faults):
    signer = KmsSigner(connected(made, "kms"), made.audit_key())
    faults(Fault(matches="TrentService.Sign", times=2, **THROTTLED))
    assert signer.verify(b"data", signer.sign(b"data"))


# ---- tables


def rows(day, *values):
    times = [NOW + day * DAY + timedelta(minutes=number) for number in range(len(values))]
    return pa.table({"time": pa.array(times, TIMESTAMP), "value": pa.array(values, pa.float64())})


def write(tables, day, *values):
    return tables.overwrite("raw.t", rows(day, *values), "time", NOW + day * DAY, NOW + (day + 1) * DAY)


def values(tables):
    return sorted(tables.read("raw.t")["value"].to_pylist())


@pytest.mark.parametrize(
    "fault",
    [
        Fault("loses", "UpdateTable"),
        Fault(matches="UpdateTable", **THROTTLED),
        Fault("hangs_up", "UpdateTable"),
        Fault("refuses", "UpdateTable", code="InternalServiceException", status=500),
        Fault("refuses", "UpdateTable", code="ConcurrentModificationException"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.code}",
)
def test_a_commit_that_conflicts_or_was_not_answered_is_there_once(tables, faults, emulator, fault):
    write(tables, 0, 1.0)
    faults(fault)
    write(tables, 1, 2.0, 3.0)
    assert len(misbehaved(emulator)) == 1
    assert values(tables) == [1.0, 2.0, 3.0]
    write(tables, 2, 4.0)
    assert values(tables) == [1.0, 2.0, 3.0, 4.0], "the table is whole: no file of it was deleted"


def test_a_table_whose_creation_was_not_answered_is_made_once(tables, faults):
    faults(Fault("loses", "CreateTable"))
    write(tables, 0, 1.0)
    assert values(tables) == [1.0]


def test_a_silent_catalog_is_reported_and_the_table_is_unchanged(tables, faults):
    write(tables, 0, 1.0)
    faults(Fault("hangs_up", "UpdateTable", times=1000))
    with pytest.raises(Unavailable, match="table catalog does not answer"):
        write(tables, 1, 2.0)
    faults()
    assert values(tables) == [1.0]
    write(tables, 1, 2.0)
    assert values(tables) == [1.0, 2.0]


def test_a_snapshot_is_pinned_although_the_catalog_is_busy(tables, faults):
    snapshot = write(tables, 0, 1.0)
    faults(Fault(matches="UpdateTable", times=2, **THROTTLED))
    tables.pin({"raw.t": snapshot}, "run-1")
    assert "run-1" in tables._table("raw.t").refs()


def test_files_of_a_table_that_cannot_be_read_are_reported(tables, faults):
    write(tables, 0, 1.0)
    faults(Fault("refuses", "/contract", code="AccessDenied", status=403, times=1000))
    with pytest.raises(Unavailable, match=r"the tables' files cannot be read or written.*ACCESS_DENIED"):
        tables.read("raw.t")


def test_a_request_that_is_wrong_is_no_outage(objects):
    objects.bucket = "no bucket's name"
    with pytest.raises(ParamValidationError, match="Invalid bucket name"):
        objects.write("a", b"")
