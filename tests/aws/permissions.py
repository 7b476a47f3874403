"""What AWS asks of policies for a call: the actions, the resources and what it knows about the request.

Sources: the actions, resources and condition keys of each service in the Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/), of which the simulator has a copy: it refuses a
question with an action, a resource or a key that does not belong together.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from infra.names import Names
from tests.aws.calls import Call


class Asked(NamedTuple):
    """One question to policies."""

    action: str
    resource: str
    context: Mapping[str, Any]


def asked(call: Call, names: Names, key: str) -> list[Asked]:
    """Return what policies are asked for a call; ``key`` is the ARN of the key that objects are encrypted with.

    Raises:
        KeyError: for a call that nobody has described here.
    """
    return list(DESCRIBED[call.service](call, names, key))


def _own(key: str, names: Names) -> tuple[str, dict[str, str]]:
    return key, {"aws:ResourceTag/stack": names.prefix}


def _s3(call: Call, names: Names, key: str) -> Iterator[Asked]:
    bucket = f"arn:aws:s3:::{call.given['Bucket']}"
    item = f"{bucket}/{call.given.get('Key', '')}"
    through = {**_own(key, names)[1], "kms:ViaService": f"s3.{names.region}.amazonaws.com"}
    match call.operation:
        case "ListObjectsV2":
            yield Asked("s3:ListBucket", bucket, {"s3:prefix": call.given.get("Prefix", "")})
        case "GetObject" | "HeadObject":
            yield Asked("s3:GetObject", item, {})
            yield Asked("kms:Decrypt", key, through)
        case "PutObject":
            yield Asked("s3:PutObject", item, {})
            yield Asked("kms:GenerateDataKey", key, through)
            if "ObjectLockMode" in call.given:  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
                yield Asked("s3:PutObjectRetention", item, {"s3:object-lock-mode": call.given["ObjectLockMode"]})
        case other:
            raise KeyError(f"s3.{other}")


def _dynamodb(call: Call, names: Names, _: str) -> Iterator[Asked]:
    tables = call.given.get("RequestItems") or [call.given["TableName"]]
    for table in tables:
        yield Asked(f"dynamodb:{call.operation}", names.arn("dynamodb", f"table/{table}"), {})


def _glue(call: Call, names: Names, _: str) -> Iterator[Asked]:
    """Glue asks about the table, its database and the catalog, all of which must be allowed."""
    given = call.given
    database = given.get("DatabaseName") or given.get("Name") or given.get("DatabaseInput", {}).get("Name")
    table = given.get("TableInput", {}).get("Name") or (given.get("Name") if "DatabaseName" in given else None)
    places = [
        "catalog",
        *([f"database/{database}"] if database else []),
        *([f"table/{database}/{table}"] if table else []),
    ]
    for place in places:
        yield Asked(f"glue:{call.operation}", names.arn("glue", place), {})


def _queue(call: Call, names: Names, _: str) -> Iterator[Asked]:
    action = call.operation.removesuffix("Batch")
    queue = call.given.get("QueueName") or call.given["QueueUrl"].rpartition("/")[2]
    yield Asked(f"sqs:{action}", names.arn("sqs", queue), {})


def _events(call: Call, names: Names, _: str) -> Iterator[Asked]:
    for entry in call.given["Entries"]:
        yield Asked(f"events:{call.operation}", names.arn("events", f"event-bus/{entry['EventBusName']}"), {})


def _kms(call: Call, names: Names, _: str) -> Iterator[Asked]:
    yield Asked(f"kms:{call.operation}", *_own(call.given["KeyId"], names))


def _ssm(call: Call, names: Names, _: str) -> Iterator[Asked]:
    yield Asked(f"ssm:{call.operation}", names.arn("ssm", f"parameter{call.given['Name']}"), {})


def _cloudwatch(call: Call, *_: Any) -> Iterator[Asked]:
    yield Asked(f"cloudwatch:{call.operation}", "*", {"cloudwatch:namespace": call.given["Namespace"]})


def _sagemaker(call: Call, names: Names, _: str) -> Iterator[Asked]:
    given = call.given
    if "PipelineExecutionArn" in given:
        resource = given["PipelineExecutionArn"]
    elif "EndpointName" in given:
        resource = names.arn("sagemaker", f"endpoint/{given['EndpointName']}")
    elif "HyperParameterTuningJobName" in given:
        resource = names.arn("sagemaker", f"hyper-parameter-tuning-job/{given['HyperParameterTuningJobName']}")
    else:
        resource = names.arn("sagemaker", f"pipeline/{given['PipelineName']}")
    yield Asked(f"sagemaker:{call.operation}", resource, {})
    if role := given.get("TrainingJobDefinition", {}).get("RoleArn"):
        yield Asked("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _logs(call: Call, names: Names, _: str) -> Iterator[Asked]:
    stream = f":log-stream:{call.given['logStreamName']}" if "logStreamName" in call.given else ""
    yield Asked(f"logs:{call.operation}", names.arn("logs", f"log-group:{call.given['logGroupName']}{stream}"), {})


def _athena(call: Call, names: Names, _: str) -> Iterator[Asked]:
    yield Asked(f"athena:{call.operation}", names.arn("athena", f"workgroup/{names.prefix}"), {})


DESCRIBED: dict[str, Callable[[Call, Names, str], Iterator[Asked]]] = {
    "athena": _athena,
    "cloudwatch": _cloudwatch,
    "dynamodb": _dynamodb,
    "events": _events,
    "glue": _glue,
    "kms": _kms,
    "logs": _logs,
    "s3": _s3,
    "sagemaker": _sagemaker,
    "sagemaker-runtime": _sagemaker,
    "sqs": _queue,
    "ssm": _ssm,
}
