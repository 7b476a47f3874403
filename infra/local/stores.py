"""Makes on an emulator of AWS what the program registers, where Pulumi is absent.

Only what the pipelines use is made. An emulator enforces no policy and evaluates no alarm, so those are left out;
``LEFT_OUT`` has them all. What is there already stays as it is.
"""

from collections.abc import Callable
from typing import Any

import boto3

from infra.names import Names
from infra.resource import Resource
from pipelines.config.errors import UserError

LEFT_OUT = frozenset({
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:scheduler/scheduleGroup:ScheduleGroup",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sqs/queuePolicy:QueuePolicy",
})  # fmt: skip
"""Types that make no difference on an emulator."""

Client = Callable[[str], Any]
"""Returns the client of a service."""


def clients(url: str, names: Names, key: str, secret: str) -> Client:
    """Return what returns clients of the emulator at a URL."""
    session = boto3.Session(key, secret, region_name=names.region)
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, endpoint_url=url)
        return made[service]

    return client


def make(client: Client, names: Names, resource: Resource) -> dict[str, str]:
    """Make a resource as it is registered, and return what AWS says of it that others use.

    Raises:
        UserError: for a type that is neither known here nor left out.
    """
    if not resource.type.startswith("aws:") or resource.type in LEFT_OUT:
        return {}
    kind = resource.type.rpartition(":")[2]
    if kind == "Key":
        return _key(client("kms"), f"alias/{names.of(resource.name)}", resource.props)
    if kind not in _MAKERS:
        raise UserError(f"{resource.type} is not known to infra/local/stores.py: make it there, or leave it out")
    service, maker = _MAKERS[kind]
    return maker(client(service), resource.props) or {}


def _key(kms: Any, alias: str, props: dict[str, Any]) -> dict[str, str]:
    """Make a key and its alias, by which it is found again: a key has no other name."""
    try:
        about = kms.describe_key(KeyId=alias)["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        spec, use = props.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT"), props.get("keyUsage", "ENCRYPT_DECRYPT")
        about = kms.create_key(KeySpec=spec, KeyUsage=use, Description=props["description"])["KeyMetadata"]
        kms.create_alias(AliasName=alias, TargetKeyId=about["KeyId"])
    return {"arn": about["Arn"], "keyId": about["KeyId"]}


def _bucket(s3: Any, props: dict[str, Any]) -> None:
    region = s3.meta.region_name
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    if props["bucket"] not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=props["bucket"], **where)


def _versioning(s3: Any, props: dict[str, Any]) -> None:
    enabled = {"Status": props["versioningConfiguration"]["status"]}
    s3.put_bucket_versioning(Bucket=props["bucket"], VersioningConfiguration=enabled)


def _encryption(s3: Any, props: dict[str, Any]) -> None:
    default = props["rules"][0]["applyServerSideEncryptionByDefault"]
    rule = {"SSEAlgorithm": default["sseAlgorithm"], "KMSMasterKeyID": default["kmsMasterKeyId"]}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
    s3.put_bucket_encryption(Bucket=props["bucket"], ServerSideEncryptionConfiguration=rules)


def _object(s3: Any, props: dict[str, Any]) -> None:
    s3.put_object(Bucket=props["bucket"], Key=props["key"], Body=props["content"].encode())


def _database(glue: Any, props: dict[str, Any]) -> None:
    given = {"Name": props["name"], "LocationUri": props["locationUri"]}
    try:
        glue.create_database(DatabaseInput=given)
    except glue.exceptions.AlreadyExistsException:
        glue.update_database(Name=props["name"], DatabaseInput=given)


def _table(dynamo: Any, props: dict[str, Any]) -> None:
    if props["name"] in dynamo.list_tables()["TableNames"]:
        return
    dynamo.create_table(
        TableName=props["name"],
        KeySchema=[{"AttributeName": props["hashKey"], "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": one["name"], "AttributeType": one["type"]} for one in props["attributes"]
        ],
        BillingMode=props["billingMode"],
    )
    ends = {"Enabled": props["ttl"]["enabled"], "AttributeName": props["ttl"]["attributeName"]}
    dynamo.update_time_to_live(TableName=props["name"], TimeToLiveSpecification=ends)


def _queue(sqs: Any, props: dict[str, Any]) -> dict[str, str]:
    given = {"VisibilityTimeout": str(int(props["visibilityTimeoutSeconds"]))}
    if props.get("redrivePolicy"):
        given["RedrivePolicy"] = props["redrivePolicy"]
    url = sqs.create_queue(QueueName=props["name"], Attributes=given)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return {"url": url, "arn": found["QueueArn"]}


def _topic(sns: Any, props: dict[str, Any]) -> dict[str, str]:
    return {"arn": sns.create_topic(Name=props["name"])["TopicArn"]}


def _bus(events: Any, props: dict[str, Any]) -> None:
    try:
        events.create_event_bus(Name=props["name"])
    except events.exceptions.ResourceAlreadyExistsException:
        return


def _rule(events: Any, props: dict[str, Any]) -> None:
    given = {"Name": props["name"], "EventBusName": props["eventBusName"], "EventPattern": props["eventPattern"]}
    events.put_rule(**given)


def _target(events: Any, props: dict[str, Any]) -> None:
    target = {"Id": props["targetId"], "Arn": props["arn"]}
    events.put_targets(Rule=props["rule"], EventBusName=props["eventBusName"], Targets=[target])


def _parameter(ssm: Any, props: dict[str, Any]) -> None:
    ssm.put_parameter(Name=props["name"], Type=props["type"], Value=props["value"], Overwrite=True)


_Maker = Callable[[Any, dict[str, Any]], dict[str, str] | None]
_MAKERS: dict[str, tuple[str, _Maker]] = {
    "Alias": ("kms", lambda _kms, _props: None),  # made with its key
    "Bucket": ("s3", _bucket),
    "BucketObjectv2": ("s3", _object),
    "BucketServerSideEncryptionConfiguration": ("s3", _encryption),
    "BucketVersioning": ("s3", _versioning),
    "CatalogDatabase": ("glue", _database),
    "EventBus": ("events", _bus),
    "EventRule": ("events", _rule),
    "EventTarget": ("events", _target),
    "Parameter": ("ssm", _parameter),
    "Queue": ("sqs", _queue),
    "Table": ("dynamodb", _table),
    "Topic": ("sns", _topic),
}
"""By type: the service, and what makes one with its client."""
