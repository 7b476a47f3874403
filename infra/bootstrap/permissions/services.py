"""The services of an environment, a row each, from which deployment, plans and steps get their permissions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AwsService:
    """A service whose resources bear the environment's name in their ARNs.

    Attributes:
        name: the service, as ARNs and actions name it.
        resources: its resources, as :meth:`infra.bootstrap.scope.Scope.owned` reads them.
        look: actions that read a resource's configuration, but no data.
        use: actions of steps, the serving app and the tick.
        alter: actions that set it up, change it and delete it.
    """

    name: str
    resources: tuple[str, ...]
    look: tuple[str, ...]
    use: tuple[str, ...]
    alter: tuple[str, ...] = ("*",)


SERVICES = (
    AwsService(
        "s3",
        ("{name}-*", "{name}-*/*"),
        look=(
            "GetAccelerateConfiguration",
            "GetBucket*",
            "GetEncryptionConfiguration",
            "GetLifecycleConfiguration",
            "GetReplicationConfiguration",
            "ListBucket",
        ),
        use=("AbortMultipartUpload", "*Object*", "GetBucketLocation", "ListBucket*", "ListMultipartUploadParts"),
    ),
    AwsService(
        "dynamodb",
        ("table/{name}-*",),
        look=("Describe*", "ListTagsOfResource"),
        use=("BatchGetItem", "BatchWriteItem", "*Item", "ConditionCheckItem", "DescribeTable", "Query", "Scan"),
    ),
    AwsService(
        "glue",
        ("catalog", "database/{table}*", "table/{table}*/*"),
        look=("GetDatabase*", "GetTable*", "GetTags"),
        use=("*Partition*", "CreateDatabase", "GetDatabase*", "*Table*"),
    ),
    AwsService(
        "athena",
        ("workgroup/{name}*",),
        look=("GetWorkGroup", "ListTagsForResource"),
        use=("GetQuery*", "GetWorkGroup", "StartQueryExecution", "StopQueryExecution"),
    ),
    AwsService(
        "sagemaker",
        (
            "endpoint/{name}*",
            "endpoint-config/{name}*",
            "model/{name}*",
            "pipeline/{name}*",
        ),
        look=("Describe*", "ListTags"),
        use=("Describe*", "InvokeEndpoint*", "ListPipelineExecution*", "ListTags", "St*PipelineExecution"),
    ),
    AwsService(
        "sqs",
        ("{name}-*",),
        look=("GetQueueAttributes", "GetQueueUrl", "ListQueueTags"),
        use=("ChangeMessageVisibility", "*Message", "GetQueueAttributes", "GetQueueUrl"),
    ),
    AwsService("sns", ("{name}-*",), look=("Get*", "List*"), use=("Publish",)),
    AwsService(
        "events",
        ("event-bus/{name}*", "rule/{name}*"),
        look=("Describe*", "List*"),
        use=("PutEvents",),
    ),
    AwsService("scheduler", ("schedule-group/{name}*", "schedule/*/{name}*"), look=("Get*", "List*"), use=()),
    AwsService(
        "lambda",
        ("function:{name}-*",),
        look=("GetFunction*", "GetPolicy", "List*"),
        use=("InvokeFunction",),
    ),
    AwsService(
        "logs",
        ("log-group:/aws/*/{name}*", "log-group:/{path}*", "log-group:{name}*"),
        look=("DescribeLogStreams", "ListTagsForResource", "ListTagsLogGroup"),
        use=("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"),
    ),
    AwsService(
        "cloudwatch",
        ("alarm:{name}-*", "dashboard/{name}*"),
        look=("DescribeAlarms", "GetDashboard", "ListTagsForResource"),
        use=("DescribeAlarms",),
    ),
    AwsService("ssm", ("parameter/{path}/*",), look=("GetParameter*", "ListTagsForResource"), use=("GetParameter*",)),
    AwsService(
        "backup",
        ("backup-vault:{name}*",),
        look=("DescribeBackupVault", "GetBackupVault*", "ListTags"),
        use=(),
    ),
    AwsService(
        "budgets", ("budget/{name}*",), look=("ViewBudget", "DescribeBudgetAction*", "ListTagsForResource"), use=()
    ),
)

# What these services name by numbers of their own: allowed by the environment's tags.
TAGGED = {
    "kms": ("key/*",),
    "backup": ("backup-plan:*",),
    "application-autoscaling": ("scalable-target/*",),
    "sagemaker": ("mlflow-app/*", "mlflow-tracking-server/*"),
    "sagemaker-mlflow": ("*",),
    "ec2": (
        "elastic-ip/*",
        "internet-gateway/*",
        "natgateway/*",
        "network-acl/*",
        "route-table/*",
        "security-group/*",
        "security-group-rule/*",
        "subnet/*",
        "vpc/*",
        "vpc-endpoint/*",
        "vpc-flow-log/*",
    ),
}

# What has no resource to name, and shows no data: lists and descriptions.
ACCOUNT_WIDE_LOOK = (
    "application-autoscaling:Describe*",
    "backup:ListBackupVaults",
    "cloudwatch:DescribeAlarms",
    "ec2:DescribeAddresses*",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeFlowLogs",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeManagedPrefixLists",
    "ec2:DescribeNatGateways",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribePrefixLists",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroup*",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVpc*",
    "ecr:GetAuthorizationToken",
    "iam:ListPolicies",
    "kms:ListAliases",
    "logs:DescribeLogGroups",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListEndpoints",
    "sagemaker:ListModels",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListServiceQuotas",
    "ssm:DescribeParameters",
    "sts:GetCallerIdentity",
    "tag:GetResources",
)
