"""What each role may and must not do, asked of a simulator of IAM with the policies as they are registered.

The simulator is an npm package, which knows each action's resources and condition keys and refuses a question that AWS
would not understand; ``make test-roles`` fetches it. A role of an environment is asked within its boundary.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.names import Names
from tests.infra.bootstrap_mocks import ACCOUNT, PEOPLE, document_of, documents_of, program

pytestmark = pytest.mark.roles
HERE = Path(__file__).parent / "simulation"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ASKS_IAM = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    ],
}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
MLFLOW = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:mlflow-app/app-ABCDEF123456"
GLOBAL = ("iam", "budgets")
DEV, PROD, OTHER = ({"aws:ResourceTag/stack": name} for name in ("fleet-dev", "fleet-prod", "parcels-dev"))
NEW_DEV, NEW_PROD = {"aws:RequestTag/stack": "fleet-dev"}, {"aws:RequestTag/stack": "fleet-prod"}
BOUNDED = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/fleet-boundary-dev"}
STATE = "arn:aws:s3:::fleet-state-123456789012/.pulumi"


def arn(service, resource):
    if service == "s3":
        return f"arn:aws:s3:::{resource}"
    return f"arn:aws:{service}:{'' if service in GLOBAL else 'eu-west-1'}:{ACCOUNT}:{resource}"


# role: what it may, what it must not; each an action, a resource, and what AWS would know about the request.
CASES = {
    "deploy-dev": (
        [
            ("s3:CreateBucket", arn("s3", "fleet-dev-store-123456789012"), {}),
            ("s3:DeleteBucket", arn("s3", "fleet-dev-store-123456789012"), {}),
            ("s3:GetObject", f"{STATE}/stacks/infra/dev.json", {}),
            ("s3:PutObject", f"{STATE}/locks/organization/infra/dev/1.json", {}),
            ("kms:Decrypt", KEY, {"kms:ResourceAliases": ["alias/fleet-state"]}),
            ("kms:CreateKey", "*", NEW_DEV),
            ("kms:TagResource", KEY, NEW_DEV),
            ("kms:PutKeyPolicy", KEY, DEV),
            ("sagemaker:AddTags", MLFLOW, NEW_DEV | {"sagemaker:TaggingAction": "CreateMlflowApp"}),
            ("iam:CreateRole", arn("iam", "role/fleet-dev-jobs"), BOUNDED),
            ("iam:PutRolePolicy", arn("iam", "role/fleet-dev-jobs"), BOUNDED),
            ("iam:PassRole", arn("iam", "role/fleet-dev-jobs"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
            ("iam:CreatePolicy", arn("iam", "policy/fleet-dev-stop"), {}),
            ("dynamodb:CreateTable", arn("dynamodb", "table/fleet-dev-online"), {}),
            ("glue:CreateDatabase", arn("glue", "database/fleet_dev_raw"), {}),
            ("athena:CreateWorkGroup", arn("athena", "workgroup/fleet-dev"), {}),
            ("sagemaker:CreateEndpoint", arn("sagemaker", "endpoint/fleet-dev"), {}),
            ("sagemaker:CreatePipeline", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
            *((f"sagemaker:List{kind}", "*", {}) for kind in ("Endpoints", "EndpointConfigs", "Models")),
            ("tag:GetResources", "*", {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
            ("sqs:CreateQueue", arn("sqs", "fleet-dev-events"), {}),
            ("sns:CreateTopic", arn("sns", "fleet-dev-alarms"), {}),
            ("events:CreateEventBus", arn("events", "event-bus/fleet-dev"), {}),
            ("scheduler:CreateSchedule", arn("scheduler", "schedule/default/fleet-dev-tick"), {}),
            ("lambda:CreateFunction", arn("lambda", "function:fleet-dev-tick"), {}),
            ("logs:CreateLogGroup", arn("logs", "log-group:/aws/lambda/fleet-dev-tick"), {}),
            ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:fleet-dev-errors"), {}),
            ("ssm:PutParameter", arn("ssm", "parameter/fleet/dev/stack"), {}),
            ("budgets:ModifyBudget", arn("budgets", "budget/fleet-dev"), {}),
            ("ec2:CreateVpc", arn("ec2", "vpc/vpc-0a"), NEW_DEV),
            ("ec2:AuthorizeSecurityGroupEgress", arn("ec2", "security-group/sg-0a"), DEV),
            ("ec2:AuthorizeSecurityGroupEgress", arn("ec2", "security-group-rule/sgr-0a"), NEW_DEV),
            (
                "ec2:CreateTags",
                arn("ec2", "security-group-rule/sgr-0a"),
                NEW_DEV | {"ec2:CreateAction": "AuthorizeSecurityGroupEgress"},
            ),
            (
                "cloudwatch:PutMetricAlarm",
                arn("cloudwatch", "alarm:TargetTracking-endpoint/fleet-dev/variant/app-Low"),
                {},
            ),
            ("backup:CreateBackupVault", arn("backup", "backup-vault:fleet-dev-vault"), {}),
            ("backup-storage:MountCapsule", "*", {}),
            ("kms:CreateGrant", KEY, DEV),
            ("ec2:DeleteSubnet", arn("ec2", "subnet/subnet-0a"), DEV),
            ("ecr:PutImage", arn("ecr", "repository/fleet"), {}),
            ("tag:GetResources", "*", {}),
        ],
        [
            ("s3:CreateBucket", arn("s3", "fleet-prod-store-123456789012"), {}),
            ("s3:GetObject", f"{STATE}/stacks/infra/prod.json", {}),
            ("s3:PutObject", f"{STATE}/stacks/bootstrap/main.json", {}),
            ("s3:DeleteBucket", arn("s3", "fleet-state-123456789012"), {}),
            ("s3:CreateBucket", arn("s3", "parcels-dev-store-123456789012"), {}),
            ("kms:Decrypt", KEY, PROD),
            ("kms:Decrypt", KEY, {}),
            ("kms:CreateKey", "*", NEW_PROD),
            ("kms:TagResource", KEY, NEW_DEV | OTHER),
            ("kms:TagResource", KEY, NEW_PROD),
            ("sagemaker:AddTags", MLFLOW, NEW_DEV),
            ("kms:ScheduleKeyDeletion", KEY, OTHER),
            ("iam:CreateRole", arn("iam", "role/fleet-dev-jobs"), {}),
            ("iam:CreateRole", arn("iam", "role/admin"), BOUNDED),
            ("iam:PutRolePolicy", arn("iam", "role/fleet-deploy-dev"), BOUNDED),
            ("iam:UpdateAssumeRolePolicy", arn("iam", "role/fleet-deploy-dev"), {}),
            ("iam:AttachRolePolicy", arn("iam", "role/fleet-plan-dev"), {}),
            ("iam:DeleteRolePermissionsBoundary", arn("iam", "role/fleet-dev-jobs"), {}),
            ("iam:CreatePolicyVersion", arn("iam", "policy/fleet-boundary-dev"), {}),
            ("iam:CreatePolicyVersion", arn("iam", "policy/fleet-deploy-dev-1"), {}),
            ("iam:PassRole", arn("iam", "role/fleet-prod-jobs"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
            ("iam:PassRole", arn("iam", "role/fleet-dev-jobs"), {"iam:PassedToService": "ec2.amazonaws.com"}),
            ("iam:CreateUser", arn("iam", "user/mallory"), {}),
            ("iam:CreateAccessKey", arn("iam", "user/ada"), {}),
            ("sts:AssumeRole", arn("iam", "role/fleet-engineer"), {}),
            ("dynamodb:DeleteTable", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("ec2:RunInstances", arn("ec2", "instance/*"), NEW_DEV),
            ("ec2:AuthorizeSecurityGroupEgress", arn("ec2", "security-group/sg-0a"), PROD),
            ("ec2:AuthorizeSecurityGroupEgress", arn("ec2", "security-group-rule/sgr-0a"), NEW_PROD),
            (
                "cloudwatch:PutMetricAlarm",
                arn("cloudwatch", "alarm:TargetTracking-endpoint/fleet-prod/variant/app-Low"),
                {},
            ),
            ("ec2:DeleteSubnet", arn("ec2", "subnet/subnet-0a"), PROD),
            ("ecr:DeleteRepository", arn("ecr", "repository/fleet"), {}),
            ("ssm:PutParameter", arn("ssm", "parameter/fleet/bootstrap"), {}),
            ("ssm:GetParameter", arn("ssm", "parameter/fleet/prod/stack"), {}),
        ],
    ),
    "deploy-prod": (
        [
            ("dynamodb:CreateTable", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/fleet-prod"), {}),
            ("ecr:BatchGetImage", arn("ecr", "repository/fleet"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/models/0a/manifest.json"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/releases/dev/000001.json"), {}),
        ],
        [
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/releases/dev/000001.json"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/predictions/dev/day=2026-01-01/1.parquet"), {}),
            ("dynamodb:DeleteTable", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("s3:DeleteBucket", arn("s3", "fleet-prod-store-123456789012"), {}),
            ("s3:BypassGovernanceRetention", arn("s3", "fleet-prod-store-123456789012/releases/prod/000001.json"), {}),
            ("kms:ScheduleKeyDeletion", KEY, PROD),
            ("ecr:PutImage", arn("ecr", "repository/fleet"), {}),
            ("s3:CreateBucket", arn("s3", "fleet-dev-store-123456789012"), {}),
        ],
    ),
    "plan-prod": (
        [
            ("s3:GetObject", f"{STATE}/stacks/infra/prod.json", {}),
            ("s3:GetBucketPolicy", arn("s3", "fleet-prod-store-123456789012"), {}),
            ("dynamodb:DescribeTable", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("sagemaker:DescribeEndpoint", arn("sagemaker", "endpoint/fleet-prod"), {}),
            ("iam:GetRolePolicy", arn("iam", "role/fleet-prod-jobs"), {}),
            ("kms:GetKeyPolicy", KEY, PROD),
            ("ec2:DescribeVpcs", "*", {}),
            ("ssm:GetParameter", arn("ssm", "parameter/fleet/prod/stack"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/models/0a/manifest.json"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/releases/dev/000001.json"), {}),
            ("kms:Decrypt", KEY, {**PROD, "kms:ViaService": "s3.eu-west-1.amazonaws.com"}),
            ("dynamodb:GetItem", arn("dynamodb", "table/fleet-prod-online"), {"dynamodb:LeadingKeys": "complete|a_1"}),
        ],
        [
            ("dynamodb:GetItem", arn("dynamodb", "table/fleet-prod-online"), {"dynamodb:LeadingKeys": "a_1|x"}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/predictions/dev/day=2026-01-01/1.parquet"), {}),
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000001.json"), {}),
            ("s3:PutObject", f"{STATE}/stacks/infra/prod.json", {}),
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/predictions/prod/day=2026-01-01/1.parquet"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-lake-123456789012/tables/x.parquet"), {}),
            ("dynamodb:GetItem", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("kms:Decrypt", KEY, PROD),
            ("kms:Sign", KEY, PROD),
            ("athena:StartQueryExecution", arn("athena", "workgroup/fleet-prod"), {}),
            ("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/fleet-prod"), {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-prod-training"), {}),
            ("sqs:ReceiveMessage", arn("sqs", "fleet-prod-events"), {}),
            ("lambda:InvokeFunction", arn("lambda", "function:fleet-prod-tick"), {}),
            ("iam:PassRole", arn("iam", "role/fleet-prod-jobs"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
            ("iam:CreateRole", arn("iam", "role/fleet-prod-x"), {}),
        ],
    ),
    "clock-prod": (
        [
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/models/0a/manifest.json"), {}),
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/models/0a/manifest.json"), {}),
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000009.json"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/runs/training-1/run.json"), {}),
            ("kms:Sign", KEY, PROD),
            ("kms:GenerateDataKey", KEY, {**PROD, "kms:ViaService": "s3.eu-west-1.amazonaws.com"}),
            ("dynamodb:GetItem", arn("dynamodb", "table/fleet-prod-online"), {"dynamodb:LeadingKeys": "complete|a_1"}),
        ],
        [
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/models/0a/manifest.json"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/predictions/prod/day=2026-01-01/1.parquet"), {}),
            ("s3:DeleteObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000009.json"), {}),
            ("s3:GetObject", f"{STATE}/stacks/infra/prod.json", {}),
            ("kms:Sign", KEY, DEV),
            ("kms:GenerateDataKey", KEY, PROD),
            ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/fleet-prod"), {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-prod-training"), {}),
            ("dynamodb:GetItem", arn("dynamodb", "table/fleet-prod-online"), {"dynamodb:LeadingKeys": "a_1|x"}),
        ],
    ),
    "data-scientist": (
        [
            ("s3:GetObject", arn("s3", "fleet-dev-lake-123456789012/tables/features/1.parquet"), {}),
            ("athena:StartQueryExecution", arn("athena", "workgroup/fleet-dev"), {}),
            ("glue:GetTable", arn("glue", "table/fleet_dev_features/weather"), {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
            ("ssm:GetParameter", arn("ssm", "parameter/fleet/dev/stack"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/stack.json"), {}),
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/runs/training-1/run.json"), {}),
            ("logs:GetLogEvents", arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:x"), {}),
            ("kms:Decrypt", KEY, DEV),
        ],
        [
            ("ssm:GetParameter", arn("ssm", "parameter/fleet/prod/stack"), {}),
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/stack.json"), {}),
            ("sagemaker:CreateHyperParameterTuningJob", arn("sagemaker", "hyper-parameter-tuning-job/fleet-dev-1"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-lake-123456789012/tables/features/1.parquet"), {}),
            ("s3:PutObject", arn("s3", "fleet-dev-lake-123456789012/tables/features/1.parquet"), {}),
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/models/0/manifest.json"), {}),
            ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/releases/dev/000001.json"), {}),
            ("athena:StartQueryExecution", arn("athena", "workgroup/fleet-prod"), {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-prod-training"), {}),
            ("sagemaker:UpdatePipeline", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
            ("kms:Decrypt", KEY, PROD),
            ("kms:Sign", KEY, DEV),
            ("dynamodb:PutItem", arn("dynamodb", "table/fleet-dev-online"), {}),
            ("lambda:InvokeFunction", arn("lambda", "function:fleet-dev-tick"), {}),
        ],
    ),
    "approver": (
        [
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/reports/prod/latest.html"), {}),
            ("s3:GetObject", arn("s3", "fleet-dev-store-123456789012/models/0/card.md"), {}),
        ],
        [
            ("s3:GetObject", arn("s3", "fleet-dev-lake-123456789012/tables/features/1.parquet"), {}),
            ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/predictions/prod/1.parquet"), {}),
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000001.json"), {}),
            ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
            ("kms:Sign", KEY, PROD),
        ],
    ),
    "engineer": (
        [
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000009.json"), {}),
            ("s3:PutObjectRetention", arn("s3", "fleet-prod-store-123456789012/releases/prod/000009.json"), {}),
            ("ecr:GetAuthorizationToken", "*", {}),
            ("ecr:PutImage", arn("ecr", "repository/fleet"), {}),
            ("ecr:UploadLayerPart", arn("ecr", "repository/fleet"), {}),
            ("ecr:DescribeImages", arn("ecr", "repository/fleet"), {}),
            ("kms:Sign", KEY, PROD),
            ("lambda:InvokeFunction", arn("lambda", "function:fleet-prod-tick"), {}),
            ("sqs:StartMessageMoveTask", arn("sqs", "fleet-prod-events-dead"), {}),
            ("cloudwatch:DisableAlarmActions", arn("cloudwatch", "alarm:fleet-prod-errors"), {}),
            ("logs:FilterLogEvents", arn("logs", "log-group:/aws/lambda/fleet-prod-tick"), {}),
            ("dynamodb:DescribeTable", arn("dynamodb", "table/fleet-prod-online"), {}),
        ],
        [
            ("s3:DeleteObject", arn("s3", "fleet-prod-store-123456789012/releases/prod/000009.json"), {}),
            ("s3:PutObject", arn("s3", "fleet-prod-store-123456789012/models/0/manifest.json"), {}),
            ("s3:PutObjectRetention", arn("s3", "fleet-prod-store-123456789012/models/0/manifest.json"), {}),
            ("ecr:BatchDeleteImage", arn("ecr", "repository/fleet"), {}),
            ("ecr:PutImage", arn("ecr", "repository/parcels"), {}),
            ("dynamodb:DeleteTable", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("dynamodb:PutItem", arn("dynamodb", "table/fleet-prod-online"), {}),
            ("iam:PutRolePolicy", arn("iam", "role/fleet-prod-jobs"), {}),
            ("iam:PassRole", arn("iam", "role/fleet-prod-jobs"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
            ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/fleet-prod"), {}),
            ("kms:Sign", KEY, OTHER),
            ("kms:ScheduleKeyDeletion", KEY, PROD),
            ("s3:GetObject", f"{STATE}/stacks/infra/prod.json", {}),
        ],
    ),
}
# A role of an environment whose own policies allow everything: what the boundary leaves of that.
# What AWS Backup does to S3 and DynamoDB by the managed policies that its role has (versions of 2023 to 2026).
STORED, TABLE = arn("s3", "fleet-dev-store-123456789012"), arn("dynamodb", "table/fleet-dev-online")
THROUGH = DEV | {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}
BACKUP = [
    *((f"events:{kind}Rule", arn("events", "rule/AwsBackupManagedRule-1"), {}) for kind in ("Put", "Delete", "Enable")),
    *((f"events:{kind}Targets", arn("events", "rule/AwsBackupManagedRule-1"), {}) for kind in ("Put", "Remove")),
    ("events:ListTargetsByRule", arn("events", "rule/AwsBackupManagedRule-1"), {}),
    ("events:ListRules", "*", {}),
    ("cloudwatch:GetMetricData", "*", {}),
    ("s3:ListAllMyBuckets", "*", {}),
    *(
        (f"s3:{action}", STORED, {})
        for action in (
            "GetBucketTagging", "GetInventoryConfiguration", "ListBucketVersions", "ListBucket", "GetBucketVersioning",
            "GetBucketLocation", "GetBucketAcl", "PutInventoryConfiguration", "GetBucketNotification",
            "PutBucketNotification", "PutBucketVersioning", "PutBucketOwnershipControls", "GetBucketOwnershipControls",
        )
    ),
    *(
        (f"s3:{action}", f"{STORED}/models/0/model.onnx", {})
        for action in (
            "GetObject", "GetObjectAcl", "GetObjectTagging", "GetObjectVersion", "GetObjectVersionAcl",
            "GetObjectVersionTagging", "PutObject", "PutObjectAcl", "PutObjectTagging", "PutObjectVersionAcl",
            "DeleteObject", "ListMultipartUploadParts",
        )
    ),
    ("s3:CreateBucket", arn("s3", "fleet-dev-restored-123456789012"), {}),
    *((f"dynamodb:{action}", TABLE, {}) for action in ("DescribeTable", "CreateBackup", "StartAwsBackupJob")),
    ("dynamodb:DeleteBackup", f"{TABLE}/backup/0150", {}),
    ("dynamodb:ListTagsOfResource", TABLE, {}),
    ("dynamodb:RestoreTableFromAwsBackup", TABLE, {}),
    ("kms:Decrypt", KEY, THROUGH),
    ("kms:DescribeKey", KEY, THROUGH),
    ("backup:TagResource", arn("backup", "recovery-point:1"), {}),
    ("backup:CopyIntoBackupVault", arn("backup", "backup-vault:fleet-dev-vault"), {}),
]  # fmt: skip
WITHIN = (
    [
        ("s3:PutObject", arn("s3", "fleet-dev-store-123456789012/models/0/model.onnx"), {}),
        ("dynamodb:BatchWriteItem", arn("dynamodb", "table/fleet-dev-online"), {}),
        ("glue:UpdateTable", arn("glue", "table/fleet_dev_features/weather"), {}),
        ("athena:GetQueryResults", arn("athena", "workgroup/fleet-dev"), {}),
        ("sagemaker:CreateTrainingJob", arn("sagemaker", "training-job/pipelines-abc-train"), {}),
        ("sagemaker:CreateHyperParameterTuningJob", arn("sagemaker", "hyper-parameter-tuning-job/fleet-dev-1"), {}),
        ("sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/fleet-dev-training"), {}),
        ("kms:GenerateDataKey", KEY, DEV),
        ("kms:Sign", KEY, DEV),
        ("events:PutEvents", arn("events", "event-bus/fleet-dev"), {}),
        ("sqs:SendMessage", arn("sqs", "fleet-dev-events-dead"), {}),
        ("lambda:InvokeFunction", arn("lambda", "function:fleet-dev-tick"), {}),
        ("logs:PutLogEvents", arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:x"), {}),
        ("logs:CreateLogStream", arn("logs", "log-group:/aws/lambda/fleet-dev-tick:log-stream:x"), {}),
        ("cloudwatch:PutMetricData", "*", {}),
        ("ssm:GetParameter", arn("ssm", "parameter/fleet/dev/stack"), {}),
        ("cloudwatch:DescribeAlarms", arn("cloudwatch", "alarm:fleet-dev-endpoint-errors"), {}),
        ("ec2:AssignPrivateIpAddresses", arn("ec2", "network-interface/eni-0a"), {}),
        *BACKUP,
        ("sts:AssumeRole", "arn:aws:iam::210987654321:role/fleet-prod-reader", {}),
        ("ecr:BatchGetImage", arn("ecr", "repository/fleet"), {}),
        ("iam:PassRole", arn("iam", "role/fleet-dev-jobs"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
        (
            "iam:AttachRolePolicy",
            arn("iam", "role/fleet-dev-jobs"),
            {"iam:PolicyARN": arn("iam", "policy/fleet-dev-stop")},
        ),
    ],
    [
        ("s3:GetObject", arn("s3", "fleet-prod-store-123456789012/models/0/model.onnx"), {}),
        ("s3:GetObject", f"{STATE}/stacks/infra/dev.json", {}),
        ("s3:DeleteBucket", arn("s3", "fleet-dev-store-123456789012"), {}),
        ("s3:CreateBucket", arn("s3", "fleet-prod-store-123456789012"), {}),
        ("s3:PutBucketPolicy", arn("s3", "fleet-dev-store-123456789012"), {}),
        ("events:PutRule", arn("events", "rule/fleet-dev-runs"), {}),
        ("dynamodb:DeleteTable", arn("dynamodb", "table/fleet-dev-online"), {}),
        ("dynamodb:GetItem", arn("dynamodb", "table/parcels-dev-online"), {}),
        ("kms:Decrypt", KEY, PROD),
        ("iam:CreateRole", arn("iam", "role/fleet-dev-x"), BOUNDED),
        ("iam:CreateUser", arn("iam", "user/mallory"), {}),
        (
            "iam:AttachRolePolicy",
            arn("iam", "role/fleet-dev-jobs"),
            {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"},
        ),
        ("iam:DeleteRolePermissionsBoundary", arn("iam", "role/fleet-dev-jobs"), {}),
        ("iam:PassRole", arn("iam", "role/fleet-deploy-dev"), {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("sts:AssumeRole", arn("iam", "role/fleet-deploy-prod"), {}),
        ("ec2:RunInstances", arn("ec2", "instance/*"), {}),
        ("organizations:LeaveOrganization", "*", {}),
    ],
)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """The simulator in a folder of its own."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed: what each role may do was not simulated")
    folder = shutil.copytree(HERE, tmp_path_factory.mktemp("simulation"), dirs_exist_ok=True)
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def registered(run_program):
    return run_program(program(roles=PEOPLE))


def ask(simulator, cases, identity, boundary=None, role="fleet"):
    """Return what the simulator says to each case."""
    requests = [
        {
            "principal": arn("iam", f"role/{role}"),
            "account": ACCOUNT,
            "action": action,
            "resource": resource,
            "context": context,
            "identity": identity,
            "boundary": boundary,
            "trust": ASKS_IAM if ":kms:" in resource else None,
        }
        for action, resource, context in cases
    ]
    done = subprocess.run(
        ["node", "simulate.mjs"], cwd=simulator, input=json.dumps(requests), capture_output=True, text=True, check=True
    )
    return [
        (action, resource, answer) for (action, resource, _), answer in zip(cases, json.loads(done.stdout), strict=True)
    ]


def wrong(answers, may):
    return [one for one in answers if (one[2] == "Allowed") is not may or one[2].startswith("invalid")]


@pytest.mark.parametrize("role", CASES)
def test_a_role_may_what_its_work_needs_and_nothing_beside_it(role, registered, simulator):
    identity = documents_of(registered, f"fleet-{role}")
    allowed, denied = CASES[role]
    assert wrong(ask(simulator, allowed, identity), may=True) == []
    assert wrong(ask(simulator, denied, identity), may=False) == []


def test_no_role_of_an_environment_gets_out_of_its_boundary(registered, simulator):
    boundary = document_of(registered, "fleet-boundary-dev")
    allowed, denied = WITHIN
    assert wrong(ask(simulator, allowed, [EVERYTHING], boundary), may=True) == []
    assert wrong(ask(simulator, denied, [EVERYTHING], boundary), may=False) == []


def test_every_role_of_an_environment_can_do_its_work_within_the_boundary(registered, simulator):
    permissions = pytest.importorskip("infra.aws.permissions", reason="the environments' own program is not here")
    may = permissions.Permissions(Names("fleet", "dev", ACCOUNT, "eu-west-1"), KEY, KEY)
    within = document_of(registered, "fleet-boundary-dev")
    for role in ("jobs", "serving", "tick", "scheduler", "mlflow"):
        statements = getattr(may, role)()
        cases = [
            (action, resource if resource == "*" else resource.replace("*", "x"), DEV | _meets(statement))
            for statement in statements
            for action in statement["Action"]
            for resource in statement["Resource"]
        ]
        identity = [{"Version": "2012-10-17", "Statement": statements}]
        alone, bounded = ask(simulator, cases, identity), ask(simulator, cases, identity, within)
        assert [before for before, after in zip(alone, bounded, strict=True) if before != after] == []
        assert sum(answer == "Allowed" for *_, answer in alone) >= 8, role


def _meets(statement):
    """Return a context that meets the conditions of a statement."""
    given = [pair for pairs in statement.get("Condition", {}).values() for pair in pairs.items()]
    return {key: value if isinstance(value, str) else value[0] for key, value in given}


def test_without_the_boundary_it_would(registered, simulator):
    _, denied = WITHIN
    assert wrong(ask(simulator, denied, [EVERYTHING]), may=False) != []


def test_a_question_that_aws_would_not_understand_is_an_error(simulator):
    ((_, _, answer),) = ask(simulator, [("s3:GetObjcet", arn("s3", "fleet-dev-store/x"), {})], [EVERYTHING])
    assert answer.startswith("invalid")
