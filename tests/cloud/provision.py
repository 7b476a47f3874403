"""Makes what an environment's stack makes, as small as the adapters need it, on an emulator or on AWS itself."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import boto3

from pipelines.adapters.aws.online import EXPIRES, KEY
from pipelines.contracts import Stack
from pipelines.contracts.stack import Compute, FeatureStore, Store, parameter_name

PROJECT = "contract"


class Made:
    """Clients by service, and what was made with them and is removed at the end."""

    def __init__(self, session: boto3.Session, endpoint_url: str | None) -> None:
        self.session, self.endpoint_url = session, endpoint_url
        self.removing = ExitStack()

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint_url)

    def remove(self, action: Any, **given: Any) -> None:
        self.removing.callback(action, **given)

    def bucket(self, key: str, locked: bool = False, name: str | None = None) -> str:
        s3, name = self.client("s3"), name or f"{PROJECT}-{uuid.uuid4().hex[:12]}"
        region = {"LocationConstraint": self.session.region_name}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=region, ObjectLockEnabledForBucket=locked)
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        if not locked:
            self.removing.callback(_empty, self.session, self.endpoint_url, name)
        return name

    def encryption_key(self) -> str:
        return self._key(KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT")

    def audit_key(self) -> str:
        return self._key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")

    def _key(self, **given: str) -> str:
        kms = self.client("kms")
        arn = kms.create_key(**given)["KeyMetadata"]["Arn"]
        self.remove(kms.schedule_key_deletion, KeyId=arn, PendingWindowInDays=7)
        return str(arn)

    def table(self, name: str | None = None) -> str:
        dynamo, name = self.client("dynamodb"), name or f"{PROJECT}-{uuid.uuid4().hex[:12]}"
        dynamo.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamo.get_waiter("table_exists").wait(TableName=name)
        dynamo.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES})
        self.remove(dynamo.delete_table, TableName=name)
        return name

    def events(self, name: str | None = None) -> tuple[str, str, str]:
        """Return the names of a bus and of an event source, and the URL of the queue that they feed."""
        events, sqs, name = self.client("events"), self.client("sqs"), name or f"{PROJECT}-{uuid.uuid4().hex[:12]}"
        dead = self._queue(sqs, f"{name}-dead", {})
        policy = json.dumps({"deadLetterTargetArn": dead[1], "maxReceiveCount": "3"})
        url, arn = self._queue(sqs, name, {"RedrivePolicy": policy})
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        statement = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": statement})
        events.create_event_bus(Name=name)
        self.remove(events.delete_event_bus, Name=name)
        events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": [PROJECT]}))
        self.remove(events.delete_rule, Name=name, EventBusName=name)
        events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
        self.remove(events.remove_targets, Rule=name, EventBusName=name, Ids=["queue"])
        return name, PROJECT, url

    def _queue(self, sqs: Any, name: str, attributes: dict[str, str]) -> tuple[str, str]:
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.remove(sqs.delete_queue, QueueUrl=url)
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    def stack(self, environment: str = "dev", locked: bool = False) -> Stack:
        """Make all of an environment, and its document under a project name of its own."""
        project, encryption = f"{PROJECT}{uuid.uuid4().hex[:8]}", self.encryption_key()
        bus, _, url = self.events()
        events = self.client("events")
        events.put_rule(Name=bus, EventBusName=bus, EventPattern=json.dumps({"source": [project]}))
        stack = Stack(
            project=project,
            environment=environment,
            region=self.session.region_name,
            account=self.client("sts").get_caller_identity()["Account"],
            endpoint_url=self.endpoint_url,
            store=Store(
                bucket=self.bucket(encryption, locked),
                lake=self.bucket(encryption),
                key=encryption,
                locked_days=1 if locked else 0,
            ),
            features=FeatureStore(catalog=project, workgroup="primary", online=self.table()),
            compute=Compute(image=None, role="arn:aws:iam::123456789012:role/pipelines"),
            signer=self.audit_key(),
            queue=url,
            bus=bus,
            metrics=project,
            alarms="arn:aws:sns:eu-west-1:123456789012:alarms",
        )
        self.publish(stack)
        return stack

    def publish(self, stack: Stack) -> None:
        """Write an environment's document."""
        key, name = "stack.json", parameter_name(stack.project, stack.environment)
        self.client("s3").put_object(Bucket=stack.store.bucket, Key=key, Body=stack.to_json())
        address = f"s3://{stack.store.bucket}/{key}"
        self.client("ssm").put_parameter(Name=name, Value=address, Type="String", Overwrite=True)


@contextmanager
def making(session: boto3.Session, endpoint_url: str | None) -> Iterator[Made]:
    """Yield what makes resources; on AWS they are removed at the end, an emulator is thrown away whole."""
    made = Made(session, endpoint_url)
    try:
        yield made
    finally:
        if endpoint_url is None:
            made.removing.close()


def _empty(session: boto3.Session, endpoint_url: str | None, name: str) -> None:
    bucket = session.resource("s3", endpoint_url=endpoint_url).Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()
