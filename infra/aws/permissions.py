"""The permissions of an environment's roles: IAM statements, made from names before any resource exists."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.names import Names
from pipelines.contracts import keys

Statement = dict[str, Any]
Text = pulumi.Input[str]

MODELS = (f"{keys.MODELS}*", f"{keys.VERSIONS}*")
RELEASES = f"{keys.RELEASES}*"
SERVING = f"{keys.SERVING}*"
LAKE_TABLES = f"{keys.TABLES}*"
PREDICTIONS = f"{keys.PREDICTIONS}*"
WORK = tuple(f"{prefix}*" for prefix in (keys.MATERIALISED, keys.MONITORING, keys.MLFLOW, keys.JOBS, keys.CHECKPOINTS))
RUNS = (f"{keys.RUNS}*", f"{keys.RUN_INDEX}*")
_LAKE = [LAKE_TABLES, f"{keys.ATHENA}*", f"{keys.QUERIES}*"]


def statement(actions: list[str], resources: list[Text], **conditions: dict[str, Any]) -> Statement:
    """Return a statement that allows actions on resources, under conditions such as ``StringEquals={…}``."""
    condition = {"Condition": conditions} if conditions else {}
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **condition}


def document(statements: list[Statement]) -> pulumi.Output[str]:
    """Return a policy as JSON."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def trust(service: str, account: str) -> str:
    """Return the trust policy of a role that a service takes, for this account's resources alone."""
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]}, sort_keys=True)


def trust_roles(roles: Sequence[str]) -> str:
    """Return the trust policy of a role that other roles take, of this account or of others."""
    allow = {"Effect": "Allow", "Principal": {"AWS": list(roles)}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]}, sort_keys=True)


@dataclass(frozen=True)
class Permissions:
    """The statements of an environment; the keys are known only when they exist."""

    names: Names
    key: Text
    signer: Text

    def jobs(self) -> list[Statement]:
        """Training, processing and pipelines: all data, all tables, new candidates; never a release."""
        return [
            *self._objects("store", read=["*"], write=[*MODELS, *RUNS, f"{keys.DECISIONS}*"]),
            *self._objects("store", write=list(WORK)),
            *self._objects("lake", read=["*"], write=_LAKE, delete=_LAKE),
            self._use_key(),
            self._verify(),  # training, monitors and decisions look at the release log
            self._tables(["glue:CreateDatabase", "glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"]),
            self._queries(),
            self._online([
                "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:DescribeTable", "dynamodb:GetItem",
                "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
            ]),
            self._events(),
            self._metrics(),
            self._logs("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"),
            *self._image(),
            self._stack_parameter(),
            statement(
                [
                    "sagemaker:AddTags", "sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob",
                    "sagemaker:CreateHyperParameterTuningJob", "sagemaker:DescribeProcessingJob",
                    "sagemaker:DescribeTrainingJob", "sagemaker:DescribeHyperParameterTuningJob",
                    "sagemaker:StopProcessingJob", "sagemaker:StopTrainingJob",
                    "sagemaker:StopHyperParameterTuningJob",
                ],
                [
                    self.names.arn("sagemaker", f"{kind}/{name}*")
                    for kind in ("processing-job", "training-job", "hyper-parameter-tuning-job")
                    for name in (self.names.of(""), "pipelines-")  # SageMaker names the jobs of a pipeline itself
                ],
            ),
            self._start_pipelines(),
            statement(
                ["iam:PassRole"],
                [self.names.role_arn("jobs")],
                StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"},
            ),
            self._mlflow(),
        ]  # fmt: skip

    def serving(self) -> list[Statement]:
        """The endpoint: models and releases to read, online features to read, predictions to write."""
        return [
            *self._objects("store", read=[*MODELS, RELEASES, SERVING, keys.STACK], write=[PREDICTIONS, SERVING]),
            self._use_key(),
            self._verify(),
            self._online(["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem"]),
            # by this role SageMaker looks at the alarms that roll an update back
            # (https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html)
            statement(["cloudwatch:DescribeAlarms"], [self.names.arn("cloudwatch", f"alarm:{self.names.of('*')}")]),
            self._metrics(),
            self._logs(f"/aws/sagemaker/Endpoints/{self.names.prefix}"),
            *self._image(),
            self._stack_parameter(),
        ]

    def tick(self) -> list[Statement]:
        """The function: what canary analysis reads, the log to write and sign, instances to ask, runs to start."""
        return [
            *self._objects("store", read=["*"], write=[RELEASES, SERVING, *RUNS]),
            *self._objects("lake", read=[LAKE_TABLES]),
            statement(
                ["s3:PutObjectRetention"],
                [f"arn:aws:s3:::{self.names.bucket('store')}/{prefix}*" for prefix in keys.LOCKED],
            ),
            self._start_pipelines(),
            self._use_key(),
            self._verify("kms:Sign"),
            self._tables([]),
            self._events(),
            self._metrics(),
            self._logs(f"/aws/lambda/{self.names.of('tick')}"),
            self._stack_parameter(),
            statement(["sqs:SendMessage"], [self.names.arn("sqs", self.names.of("dead"))]),
        ]

    def dispatch(self, key: str) -> list[Statement]:
        """The function that starts workflows on GitHub: its App's key to sign with, and the document that names it."""
        return [
            statement(["kms:Sign"], [key]),
            *self._objects("store", read=[keys.STACK]),
            self._use_key(),
            self._logs(f"/aws/lambda/{self.names.of('dispatch')}"),
            self._stack_parameter(),
            statement(["sqs:SendMessage"], [self.names.arn("sqs", self.names.of("dead"))]),
        ]

    def reader(self) -> list[Statement]:
        """Another environment that trains on this one's raw tables, labels among them: read access."""
        lake, raw = f"arn:aws:s3:::{self.names.bucket('lake')}", f"{LAKE_TABLES.removesuffix('*')}raw"
        database = f"{self.names.catalog}_raw"
        tables: list[Text] = [
            self.names.arn("glue", one) for one in ("catalog", f"database/{database}", f"table/{database}/*")
        ]
        return [
            statement(["s3:GetBucketLocation"], [lake]),
            statement(["s3:ListBucket"], [lake], StringLike={"s3:prefix": [f"{raw}*"]}),
            statement(["s3:GetObject"], [f"{lake}/{raw}/*"]),
            statement(["glue:GetDatabase", "glue:GetTable", "glue:GetTables"], tables),
            statement(["kms:Decrypt", "kms:DescribeKey"], [self.key]),
            statement(["s3:GetObject"], [f"arn:aws:s3:::{self.names.bucket('store')}/{keys.STACK}"]),
            self._stack_parameter(),
        ]

    def borrow(self, role: str) -> Statement:
        """What jobs need to train on another environment's raw tables: its reader's role."""
        return statement(["sts:AssumeRole"], [role])

    def scheduler(self) -> list[Statement]:
        """EventBridge Scheduler: start the pipelines and the tick, and send events."""
        return [
            self._start_pipelines(),
            statement(["lambda:InvokeFunction"], [self.names.arn("lambda", f"function:{self.names.of('tick')}")]),
            self._events(),
            statement(["sqs:SendMessage"], [self.names.arn("sqs", self.names.of("dead"))]),
            self._use_key(),
        ]

    def mlflow(self) -> list[Statement]:
        """The managed MLflow: its own part of the store."""
        own = [f"{keys.MLFLOW}*"]
        return [*self._objects("store", read=own, write=own, delete=own), self._use_key()]

    def in_vpc(self, subnets: list[Text]) -> list[Statement]:
        """What a job, an endpoint or a function in a VPC needs in addition: interfaces in its subnets."""
        interfaces = self.names.arn("ec2", "network-interface/*")
        look = [
            "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        ]  # fmt: skip
        return [
            statement(look, ["*"]),  # EC2 knows no narrower resource for these
            statement(
                ["ec2:CreateNetworkInterface"],
                [
                    interfaces,
                    self.names.arn("ec2", "security-group/*"),
                    *(pulumi.Output.concat(self.names.arn("ec2", "subnet/"), one) for one in subnets),
                ],
            ),
            statement(
                # the addresses for Lambda (the managed policy AWSLambdaVPCAccessExecutionRole has them)
                ["ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface",
                 "ec2:DeleteNetworkInterfacePermission", "ec2:UnassignPrivateIpAddresses"],
                [interfaces],
            ),
        ]  # fmt: skip

    def _objects(
        self, bucket: str, *, read: list[str] | None = None, write: list[str] | None = None,
        delete: list[str] | None = None,
    ) -> list[Statement]:  # fmt: skip
        arn = f"arn:aws:s3:::{self.names.bucket(bucket)}"
        listed = [statement(["s3:GetBucketLocation", "s3:ListBucket"], [arn])] if read else []
        kinds = (
            (read, ["s3:GetObject", "s3:GetObjectVersion"]),
            (write, ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]),
            (delete, ["s3:DeleteObject"]),
        )
        return listed + [
            statement(actions, [f"{arn}/{one}" for one in prefixes]) for prefixes, actions in kinds if prefixes
        ]

    def _use_key(self) -> Statement:
        return statement(["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"], [self.key])

    def _verify(self, *more: str) -> Statement:
        return statement(["kms:DescribeKey", "kms:GetPublicKey", "kms:Verify", *more], [self.signer])

    def _tables(self, more: list[str]) -> Statement:
        read = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables"]
        catalog = self.names.catalog
        resources = ["catalog", f"database/{catalog}_*", f"table/{catalog}_*/*"]
        return statement([*read, *more], [self.names.arn("glue", one) for one in resources])

    def _queries(self) -> Statement:
        actions = [
            "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup",
            "athena:StartQueryExecution", "athena:StopQueryExecution",
        ]  # fmt: skip
        return statement(actions, [self.names.arn("athena", f"workgroup/{self.names.prefix}")])

    def _online(self, actions: list[str]) -> Statement:
        return statement(actions, [self.names.arn("dynamodb", f"table/{self.names.of('online')}")])

    def _events(self) -> Statement:
        return statement(["events:PutEvents"], [self.names.arn("events", f"event-bus/{self.names.prefix}")])

    def _metrics(self) -> Statement:
        """CloudWatch names no resource for metrics: the namespace is the limit."""
        mine = {"cloudwatch:namespace": self.names.metrics}
        return statement(["cloudwatch:PutMetricData"], ["*"], StringEquals=mine)

    def _logs(self, *groups: str) -> Statement:
        actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        resources = [self.names.arn("logs", f"log-group:{group}{rest}") for group in groups for rest in ("", ":*")]
        return statement(actions, list(resources))

    def _image(self) -> list[Statement]:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        return [
            statement(pull, [self.names.arn("ecr", f"repository/{self.names.project}")]),
            statement(["ecr:GetAuthorizationToken"], ["*"]),  # the token is the account's
        ]

    def _stack_parameter(self) -> Statement:
        name = f"parameter/{self.names.project}/{self.names.environment}/stack"
        return statement(["ssm:GetParameter"], [self.names.arn("ssm", name)])

    def _start_pipelines(self) -> Statement:
        actions = [
            "sagemaker:DescribePipelineExecution", "sagemaker:ListPipelineExecutionSteps",
            "sagemaker:StartPipelineExecution", "sagemaker:StopPipelineExecution",
        ]  # fmt: skip
        pipelines = self.names.arn("sagemaker", f"pipeline/{self.names.of('*')}")
        return statement(actions, [pipelines, f"{pipelines}/execution/*"])

    def _mlflow(self) -> Statement:
        apps = self.names.arn("sagemaker", "mlflow-app/*")
        return statement(["sagemaker:CallMlflowAppApi"], [apps], StringEquals=self._mine())

    def _mine(self) -> dict[str, str]:
        return {"aws:ResourceTag/stack": self.names.prefix}
