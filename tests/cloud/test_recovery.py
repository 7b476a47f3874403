"""The drill of disaster recovery: the online store is gone and so is MLflow, and the released model answers again."""

import json
from datetime import timedelta

import boto3
import pytest

from pipelines.feature.materialise import materialised_until, restore
from pipelines.registry.tracking import Tracking
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
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
