"""The whole loop with every store on AWS's emulator and compute in this process, beside the same loop embedded."""

import hashlib
import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import CanaryStrategy, UserError, Variant
from pipelines.continuous_training import ContinuousTrainingParams
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.tick import tick
from pipelines.deployment.transitions import Actor, approve, propose
from pipelines.feature import FeatureParams
from pipelines.monitor import MonitorParams
from pipelines.registry.model_store import ModelStore
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from pipelines.storage.tables import TIMESTAMP
from tests.conftest import HISTORY, NOW, learn, release
from tests.problems import parcels

pytestmark = pytest.mark.cloud

DAY = timedelta(days=1)
SINCE_STRIKE = parcels.STRIKE + 6 * DAY
CANARY = CanaryStrategy(steps=(0.5,), bake=DAY)


def ask(platform, start, end):
    """Serve the requests of some days, each as it comes, and log what was answered."""
    writer = LogWriter(platform.objects, platform.settings.environment, 60, 10**6)
    service = PredictionService(
        platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    )
    service.refresh()
    asked = 0
    for day in range((end - start) // DAY):
        at = start + day * DAY
        platform.run("feature", FeatureParams(start=at - DAY, end=at), f"feature-{at:%Y%m%d}")
        rows = parcels.read("parcels", at, at + DAY).drop_columns(["recipient"]).to_pylist()
        instances = [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
        service.predict(json.dumps({"instances": instances}).encode())
        asked += len(instances)
    service.close()
    return asked


def loop(platform):
    """Ingest, train, release, serve, monitor, decide, train again, release by canary; return what came of it."""
    first = learn(platform)
    release(platform, first)
    asked = ask(platform, parcels.STRIKE, SINCE_STRIKE)
    logged = platform.predictions.read(parcels.STRIKE, SINCE_STRIKE)
    assert logged.num_rows == asked
    platform.run("feature", FeatureParams(start=NOW, end=SINCE_STRIKE + DAY), "labels")
    report = platform.run("monitor", MonitorParams(as_of=SINCE_STRIKE + DAY))
    assert any(alarm.retrain for alarm in report.alarms)
    outcome = platform.run("continuous_training", ContinuousTrainingParams(as_of=SINCE_STRIKE + DAY), "again")
    assert platform.events.receive() == []
    return first, logged, report, outcome


def test_the_loop_on_aws_ends_with_the_very_model_of_the_embedded_one(new_cloud, new_platform):
    cloud, embedded = new_cloud(), new_platform()
    first, logged, report, outcome = loop(cloud)
    their_first, their_logged, their_report, their_outcome = loop(embedded)
    for ours, theirs in ((first, their_first), (outcome, their_outcome)):
        assert ours.accepted == theirs.accepted
        assert cloud.models.onnx(ours.model) == embedded.models.onnx(theirs.model)
        ours_said, theirs_said = cloud.models.manifest(ours.model), embedded.models.manifest(theirs.model)
        assert (ours_said.metrics, ours_said.gates) == (theirs_said.metrics, theirs_said.gates)
    order = [("event_time", "ascending"), ("key", "ascending")]
    for name in ("event_time", "key", "variant", "version", "feature_queue_now", "feature_weight", "prediction"):
        ours, theirs = (table.sort_by(order)[name].to_numpy() for table in (logged, their_logged))
        np.testing.assert_array_equal(ours, theirs)
    assert [alarm.name for alarm in report.alarms] == [alarm.name for alarm in their_report.alarms]
    assert report.measured.quality == their_report.measured.quality
    actions = [entry.action for entry in cloud.releases.entries()]
    assert actions == [entry.action for entry in embedded.releases.entries()]
    canary_and_back(cloud, outcome)


def canary_and_back(platform, candidate):
    """Release the new candidate by canary; too little traffic holds it, and the log is whole and signed."""
    at, actor = SINCE_STRIKE + DAY, Actor("tester", SINCE_STRIKE + DAY)
    released = Variant(model=candidate.model, version=candidate.version)
    override = None if candidate.accepted else "a test of the canary"
    file = propose_model(platform.models, platform.releases.state(), released, CANARY, override)
    propose(platform.release_target, actor, file)
    approve(platform.release_target, actor, file)
    platform.run("deployment", DeploymentParams(release=file, as_of=at, who="tester"))
    judged = tick(
        platform.problem,
        platform.tables,
        platform.predictions,
        platform.release_target,
        Actor("canary analysis", at + DAY),
    )
    assert judged.verdict.outcome.value == "insufficient"
    assert platform.releases.state().live


def test_what_lies_in_the_stores_is_encrypted_by_the_stack_s_key(new_cloud):
    cloud = new_cloud()
    cloud.objects.write("runs/a", b"")
    day = pa.table({"time": pa.array([HISTORY], TIMESTAMP)})
    cloud.tables.overwrite("raw.t", day, "time", HISTORY, HISTORY + DAY)
    s3, stack = cloud.profile.client("s3"), cloud.profile.stack
    for bucket in (stack.store.bucket, stack.store.lake):
        for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            if item["Key"] == "stack.json":
                continue
            head = s3.head_object(Bucket=bucket, Key=item["Key"])
            assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", stack.store.key), item["Key"]


def test_a_model_is_promoted_by_its_bytes_and_verified_where_it_arrives(new_cloud, made, manifest):
    dev, prod = new_cloud(), new_cloud(stack=made.stack("prod", locked=True))
    whole = manifest.model_copy(update={"files": {"model.onnx": hashlib.sha256(b"graph").hexdigest()}})
    digest, _ = dev.models.put(whole, {"model.onnx": b"graph"})
    dev.models.attach(digest, "card.md", b"# A card")
    for _ in range(2):
        prod.models.adopt(dev.models, digest, 7)
    assert prod.models.resolve("v7") == (digest, 7)
    assert prod.models.onnx(digest) == b"graph"
    assert prod.models.attached(digest, "card.md") == "# A card"
    head = prod.profile.client("s3").head_object(Bucket=prod.objects.bucket, Key=f"models/{digest}/model.onnx")
    assert head["SSEKMSKeyId"] == prod.profile.stack.store.key != dev.profile.stack.store.key


def test_a_model_that_was_tampered_with_is_not_promoted(new_cloud, made, manifest):
    dev, prod = new_cloud(), new_cloud(stack=made.stack("prod"))
    whole = manifest.model_copy(update={"files": {"model.onnx": hashlib.sha256(b"graph").hexdigest()}})
    digest, version = dev.models.put(whole, {"model.onnx": b"graph"})
    dev.objects.write(f"models/{digest}/model.onnx", b"another graph")
    with pytest.raises(UserError, match="tampered"):
        prod.models.adopt(dev.models, digest, version)
    assert prod.models.versions() == {}


def test_two_models_may_not_have_one_version(new_cloud, manifest, tmp_path):
    prod = new_cloud()
    for number, name in enumerate(("dev", "other")):
        source = ModelStore(FileObjects(tmp_path / name))
        whole = manifest.model_copy(
            update={"run_id": name, "files": {"model.onnx": hashlib.sha256(b"graph").hexdigest()}}
        )
        digest, version = source.put(whole, {"model.onnx": b"graph"})
        if number == 0:
            prod.models.adopt(source, digest, version)
    with pytest.raises(UserError, match="v1 is another model here"):
        prod.models.adopt(source, digest, version)


def test_an_environment_that_was_not_provisioned_is_reported(new_cloud, made):
    stack = made.stack()
    platform = new_cloud(stack=stack.model_copy(update={"environment": "staging"}))
    with pytest.raises(UserError, match=r"no environment 'staging' in eu-west-1.*pulumi up"):
        platform.objects.read("a")


def test_a_document_of_another_version_is_reported(new_cloud, made):
    stack = made.stack()
    made.client("s3").put_object(Bucket=stack.store.bucket, Key="stack.json", Body=b'{"project": "p", "more": 1}')
    with pytest.raises(UserError, match=r"does not fit this version.*more: unknown key"):
        new_cloud(stack=stack).objects.read("a")


def test_a_release_in_production_cannot_be_removed_from_its_log(new_cloud, made):
    """The bucket's object lock keeps what was written, and the adapter works with it."""
    stack, s3 = made.stack("prod", locked=True), made.client("s3")
    prod = new_cloud(stack=stack)
    key = "releases/prod/000001.json"
    assert prod.objects.create(key, b"first")
    assert prod.objects.create("runs/a/run.json", b"1")
    prod.objects.write("runs/a/run.json", b"2")
    head = s3.head_object(Bucket=stack.store.bucket, Key="runs/a/run.json")
    assert "ObjectLockMode" not in head
    (version,) = s3.list_object_versions(Bucket=stack.store.bucket, Prefix=key)["Versions"]
    with pytest.raises(Exception, match="AccessDenied"):
        s3.delete_object(Bucket=stack.store.bucket, Key=key, VersionId=version["VersionId"])
    assert prod.objects.read(key) == b"first"
