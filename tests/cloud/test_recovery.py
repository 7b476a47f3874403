"""The drills of disaster recovery: stores are lost, or restored elsewhere, and the released model answers again."""

import json
from datetime import timedelta

import boto3
import pytest

from pipelines.feature import FeatureParams
from pipelines.feature.materialise import materialised_until, restore
from pipelines.registry.tracking import Tracking
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from pipelines.training import TrainingParams
from pipelines.training.index import index
from tests.conftest import NOW, learn, release
from tests.problems import parcels

pytestmark = pytest.mark.cloud


def answers(platform):
    """Return what the champion answers to a day of requests, by a service that has just started."""
    rows = parcels.read("parcels", NOW, NOW + timedelta(days=1)).drop_columns(["recipient"]).to_pylist()
    body = json.dumps({"instances": [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]}).encode()
    writer = LogWriter(platform.objects, platform.settings.environment, 60, 10**6)
    service = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    service.refresh()
    try:
        predictions = service.predict(body)["predictions"]
    finally:
        service.close()
    return [(one["prediction"], one["model_version"]) for one in predictions]


def test_online_store_and_mlflow_are_rebuilt_from_iceberg_and_manifests(new_cloud, emulator, tmp_path):
    platform = new_cloud()
    release(platform, learn(platform))
    before = answers(platform)

    dynamo, table = boto3.client("dynamodb", endpoint_url=emulator), platform.profile.stack.features.online
    made = dynamo.describe_table(TableName=table)["Table"]
    dynamo.delete_table(TableName=table)
    kept = {name: made[name] for name in ("TableName", "AttributeDefinitions", "KeySchema")}
    dynamo.create_table(**kept, BillingMode="PAY_PER_REQUEST")  # what pulumi up makes of a table that is gone
    assert answers(platform) != before

    again = platform.changed({})  # another machine
    until = materialised_until(again.objects)
    assert all(restore(again.problem, again.tables, again.online, again.models, again.releases, until).values())
    assert answers(again) == before

    lost = Tracking(f"sqlite:///{tmp_path}/new.db", (tmp_path / "artifacts").as_uri())
    index(again.models, lost, anew=True)
    (version,) = lost._client.search_model_versions()
    assert version.tags["model"] == again.releases.state().champion.model


def copy_objects(emulator, source, target):
    """Copy a bucket's objects, as a restore from a backup into another bucket does."""
    s3 = boto3.client("s3", endpoint_url=emulator)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=source):
        for found in page.get("Contents", ()):
            s3.copy_object(Bucket=target, Key=found["Key"], CopySource={"Bucket": source, "Key": found["Key"]})


def empty(emulator, bucket):
    s3 = boto3.client("s3", endpoint_url=emulator)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            s3.delete_object(Bucket=bucket, Key=found["Key"])


def test_an_environment_restored_into_other_buckets_answers_and_trains(new_cloud, made, emulator):
    lost = new_cloud()
    release(lost, learn(lost))
    before, log = answers(lost), [entry.model_dump() for entry in lost.releases.entries()]
    rows = {name: lost.tables.read(name).num_rows for name in lost.tables.names("raw")}

    old = lost.profile.stack
    new = made.stack().model_copy(update={"signer": old.signer})  # the audit key outlives the buckets
    for source, target in ((old.store.bucket, new.store.bucket), (old.store.lake, new.store.lake)):
        copy_objects(emulator, source, target)
        empty(emulator, source)
    made.publish(new)  # over the stack's document that came with the copy
    restored = new_cloud(stack=new)
    assert sorted(restored.tables.adopt()) == sorted([*rows, *restored.tables.names("features")])
    assert {name: restored.tables.read(name).num_rows for name in rows} == rows
    assert [entry.model_dump() for entry in restored.releases.entries()] == log

    until = materialised_until(restored.objects)
    restore(restored.problem, restored.tables, restored.online, restored.models, restored.releases, until)
    assert answers(restored) == before
    again = restored.run("training", TrainingParams(as_of=NOW, reason="after the restore"), "again")
    assert again.version == 2
    restored.run("feature", FeatureParams(start=NOW, end=NOW + timedelta(days=1)), "next-day")
