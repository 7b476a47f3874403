"""The most that any role of an environment may do, whatever its own policies say: use what the environment owns."""

from infra.bootstrap.permissions.documents import Document, allow, deny, document, tagged
from infra.bootstrap.permissions.services import SERVICES
from infra.bootstrap.scope import Scope

_JOBS = ("hyper-parameter-tuning-job", "processing-job", "training-job")
_NETWORK_OF_JOBS = ("ec2:*NetworkInterface*", "ec2:*PrivateIpAddresses", "ec2:Describe*")
# What AWS Backup does by its own managed policies (AWSBackupServiceRolePolicyFor…): it follows the changes of a bucket
# by rules that it names, asks the bucket to tell them, and restores into a bucket or a table of the environment.
_BACKUP = {
    "dynamodb": ("*Backup*", "ListTags*"),
    "s3": (
        "*InventoryConfiguration",
        "CreateBucket",
        "GetBucket*",
        "PutBucketNotification",
        "PutBucketOwnershipControls",
        "PutBucketVersioning",
    ),
}


def boundary(scope: Scope) -> Document:
    """Return the permissions boundary of an environment's roles.

    It allows neither creating roles nor changing their permissions, except that the budget's stop action may attach a
    policy of the environment to a role of the environment, which stays within this boundary.
    """
    roles, policies = scope.owned("iam", "role/{name}-*"), scope.owned("iam", "policy/{name}-*")
    jobs = [scope.home.arn("sagemaker", f"{kind}/*") for kind in _JOBS]
    mlflow = [scope.home.arn("sagemaker", "mlflow-*")]
    return document(
        [
            *(
                allow(
                    f"Use{service.name.title()}",
                    [f"{service.name}:{action}" for action in (*service.use, *_BACKUP.get(service.name, ()))],
                    scope.owned(service.name, *service.resources),
                )
                for service in SERVICES
                if service.use
            ),
            allow("UseKeys", ["kms:*"], [scope.home.arn("kms", "key/*")], tagged(scope.tags)),
            allow("RunJobs", ["sagemaker:*"], jobs),
            allow("UseMlflow", ["sagemaker-mlflow:*", "sagemaker:*Mlflow*"], mlflow, tagged(scope.tags)),
            allow("PassRoles", ["iam:GetRole", "iam:PassRole"], roles),
            allow(
                "Stop",
                ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
                roles,
                {"ArnLike": {"iam:PolicyARN": policies}},
            ),
            allow("ReadLent", ["sts:AssumeRole"], [f"arn:aws:iam::*:role/{scope.home.project}-*-reader"]),
            allow("PullImages", ["ecr:Batch*", "ecr:GetDownloadUrlForLayer"], _repository(scope)),
            allow(
                "Log",
                ["logs:Create*", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                [scope.home.arn("logs", "log-group:/aws/sagemaker/*")],
            ),
            allow(
                "Anywhere",
                [
                    "cloudwatch:GetMetricData",
                    "cloudwatch:PutMetricData",
                    "ecr:GetAuthorizationToken",
                    "events:ListRules",
                    "s3:ListAllMyBuckets",
                    "tag:GetResources",
                    *_NETWORK_OF_JOBS,
                ],
            ),
            allow("Follow", ["events:*"], [scope.home.arn("events", "rule/AwsBackupManagedRule*")]),
            allow("Backups", ["backup:*"], scope.owned("backup", "backup-vault:{name}*", "recovery-point:*")),
            deny("NoState", ["s3:*"], [scope.home.arn("s3", f"{scope.home.project}-state-*")]),
        ]
    )


def _repository(scope: Scope) -> list[str]:
    return [scope.home.arn("ecr", f"repository/{scope.home.project}")]
