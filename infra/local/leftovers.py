"""What is on an emulator of the local environment, found by its names; removed, and looked for again."""

from collections.abc import Callable, Iterator
from typing import Any

from infra.local.stores import Client
from infra.names import Names


def remove(client: Client, names: Names) -> None:
    """Remove everything whose name begins with the project's and the environment's."""
    for service, name in list(_found(client, names)):
        _REMOVE[service](client(service), name)


def left(client: Client, names: Names) -> list[str]:
    """Return what is still there, by service."""
    return [f"{service} {name}" for service, name in _found(client, names)]


def _found(client: Client, names: Names) -> Iterator[tuple[str, str]]:
    begins = names.of("")
    for service, prefix, listed in (
        ("s3", begins, _names(client("s3").list_buckets()["Buckets"], "Name")),
        ("dynamodb", begins, client("dynamodb").list_tables()["TableNames"]),
        ("sqs", begins, client("sqs").list_queues(QueueNamePrefix=begins).get("QueueUrls", [])),
        ("sns", begins, _names(client("sns").list_topics()["Topics"], "TopicArn")),
        ("events", names.prefix, _names(client("events").list_event_buses()["EventBuses"], "Name")),
        ("glue", f"{names.catalog}_", _names(client("glue").get_databases()["DatabaseList"], "Name")),
        ("ssm", f"/{names.project}/{names.environment}/", _names(_parameters(client("ssm")), "Name")),
        ("kms", f"alias/{begins}", _names(client("kms").list_aliases()["Aliases"], "AliasName")),
    ):
        shown = {"sqs": "/", "sns": ":"}.get(service)  # addresses, which end in the name
        for name in listed:
            if (name.rpartition(shown)[2] if shown else name).startswith(prefix):
                yield service, name


def _names(listed: list[dict[str, Any]], key: str) -> list[str]:
    return [one[key] for one in listed]


def _parameters(ssm: Any) -> list[dict[str, Any]]:
    return [one for page in ssm.get_paginator("describe_parameters").paginate() for one in page["Parameters"]]


def _remove_bucket(s3: Any, name: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=name)


def _remove_bus(events: Any, name: str) -> None:
    for rule in _names(events.list_rules(EventBusName=name)["Rules"], "Name"):
        targets = events.list_targets_by_rule(Rule=rule, EventBusName=name)["Targets"]
        if targets:
            events.remove_targets(Rule=rule, EventBusName=name, Ids=_names(targets, "Id"))
        events.delete_rule(Name=rule, EventBusName=name)
    events.delete_event_bus(Name=name)


def _remove_key(kms: Any, alias: str) -> None:
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"], PendingWindowInDays=7)
    kms.delete_alias(AliasName=alias)


_REMOVE: dict[str, Callable[[Any, str], object]] = {
    "dynamodb": lambda client, name: client.delete_table(TableName=name),
    "events": _remove_bus,
    "glue": lambda client, name: client.delete_database(Name=name),
    "kms": _remove_key,
    "s3": _remove_bucket,
    "sns": lambda client, arn: client.delete_topic(TopicArn=arn),
    "sqs": lambda client, url: client.delete_queue(QueueUrl=url),
    "ssm": lambda client, name: client.delete_parameter(Name=name),
}
