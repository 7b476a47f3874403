"""The permissions of people, by role: read what their work needs, start their own work; nobody sets up or deletes."""

from collections.abc import Iterable
from enum import StrEnum

from infra.bootstrap.permissions.deploy import image_statement
from infra.bootstrap.permissions.documents import Statement, allow, tagged
from infra.bootstrap.permissions.services import SERVICES
from infra.bootstrap.scope import Scope
from pipelines.contracts import keys


class Person(StrEnum):
    """A role that people have."""

    DATA_SCIENTIST = "data-scientist"
    APPROVER = "approver"
    ENGINEER = "engineer"


def people_statements(person: Person, scopes: Iterable[Scope], trains: str) -> list[Statement]:
    """Return what a person's role may do in the environments of an account.

    A data scientist's are those of the environment that trains: an account without it gives them nothing.
    """
    statements = []
    for scope in scopes:
        match person:
            case Person.DATA_SCIENTIST:
                own = _experiments(scope) if scope.environment == trains else []
            case Person.APPROVER:
                own = _reports(scope)
            case Person.ENGINEER:
                own = [*_experiments(scope), *_reports(scope), *_operations(scope)]
                if scope.environment == trains:
                    own += [image_statement(scope, builds=True), allow("LogInToImages", ["ecr:GetAuthorizationToken"])]
        statements += [{**one, "Sid": f"{one['Sid']}{scope.environment.title()}"} for one in own]
    return _merged(statements)


def _experiments(scope: Scope) -> list[Statement]:
    """Read features, query them, browse MLflow, record runs of the pipelines that are there, start and follow them."""
    objects = scope.stored(keys.TABLES, keys.RUNS, keys.MODELS, keys.REPORTS, keys.STACK)
    logs = [f"log-group:/aws/sagemaker/{kind}Jobs:*" for kind in ("Processing", "Training")]
    return [
        allow("FindEnvironment", ["ssm:GetParameter"], scope.owned("ssm", "parameter/{path}/stack")),
        allow("RecordRuns", ["s3:PutObject"], scope.stored(keys.RUNS, keys.RUN_INDEX)),
        allow("FollowRuns", ["logs:DescribeLogStreams", "logs:GetLogEvents"], scope.owned("logs", *logs)),
        allow("ListObjects", ["s3:GetBucketLocation", "s3:ListBucket"], scope.owned("s3", "{name}-*")),
        allow("ReadFeatures", ["s3:GetObject"], objects),
        allow("KeepQueryResults", ["s3:GetObject", "s3:PutObject"], scope.stored(keys.ATHENA)),
        allow("ReadCatalog", ["glue:Get*"], scope.owned("glue", "catalog", "database/{table}*", "table/{table}*/*")),
        allow(
            "Query",
            ["athena:GetQuery*", "athena:GetWorkGroup", "athena:StartQueryExecution", "athena:StopQueryExecution"],
            scope.owned("athena", "workgroup/{name}*"),
        ),
        allow(
            "BrowseMlflow",
            ["sagemaker:CreatePresignedMlflow*"],
            scope.owned("sagemaker", "mlflow-*"),
            tagged(scope.tags),
        ),
        allow(
            "StartExperiments",
            ["sagemaker:DescribePipeline*", "sagemaker:ListPipeline*", "sagemaker:St*PipelineExecution"],
            scope.owned("sagemaker", "pipeline/{name}*"),
        ),
        allow("ReadEncrypted", ["kms:Decrypt", "kms:GenerateDataKey"], scope.owned("kms", "key/*"), tagged(scope.tags)),
    ]


def _reports(scope: Scope) -> list[Statement]:
    """Read what a decision to promote rests on: reports, model cards, and the releases that were."""
    objects = scope.stored(keys.REPORTS, keys.MODELS, keys.RELEASES)
    return [
        allow("ReadReports", ["s3:GetObject"], objects),
        allow("ReadDashboards", ["cloudwatch:GetDashboard"], scope.owned("cloudwatch", "dashboard/{name}*")),
        allow("DecryptReports", ["kms:Decrypt"], scope.owned("kms", "key/*"), tagged(scope.tags)),
    ]


def _operations(scope: Scope) -> list[Statement]:
    """Read all configuration; silence alarms, call the tick, put events back, roll a release back."""
    look = [
        allow(
            f"LookAt{service.name.title()}",
            [f"{service.name}:{action}" for action in service.look],
            scope.owned(service.name, *service.resources),
        )
        for service in SERVICES
    ]
    releases = scope.stored(keys.RELEASES, keys.MODELS, keys.PREDICTIONS, keys.SERVING)
    return [
        *look,
        allow("ReadReleases", ["s3:GetObject"], releases),
        allow("TakeBackRelease", ["s3:PutObject"], scope.stored(keys.RELEASES, keys.SERVING)),
        allow("LockRelease", ["s3:PutObjectRetention"], scope.stored(*keys.LOCKED)),
        allow("SignRelease", ["kms:GetPublicKey", "kms:Sign"], scope.owned("kms", "key/*"), tagged(scope.tags)),
        allow("CallTick", ["lambda:InvokeFunction"], scope.owned("lambda", "function:{name}-*")),
        allow("AskEndpoint", ["sagemaker:InvokeEndpoint"], scope.owned("sagemaker", "endpoint/{name}*")),
        allow(
            "SilenceAlarms",
            ["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions", "cloudwatch:SetAlarmState"],
            scope.owned("cloudwatch", "alarm:{name}-*"),
        ),
        allow(
            "PutEventsBack",
            ["events:PutEvents", "sqs:ReceiveMessage", "sqs:SendMessage", "sqs:StartMessageMoveTask"],
            [*scope.owned("events", "event-bus/{name}*"), *scope.owned("sqs", "{name}-*")],
        ),
        allow(
            "ReadLogs",
            ["logs:FilterLogEvents", "logs:GetLogEvents"],
            scope.owned("logs", "log-group:/aws/*/{name}*", "log-group:/{path}*"),
        ),
        allow("ReadMetrics", ["cloudwatch:GetMetric*", "cloudwatch:ListMetrics", "logs:DescribeLogGroups"]),
    ]


def _merged(statements: list[Statement]) -> list[Statement]:
    """Return the statements without those that say what another says of the same environment."""
    return list({str({**one, "Sid": ""}): one for one in statements}.values())
