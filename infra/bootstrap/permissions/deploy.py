"""The permissions of an environment's workflows: set it up, change it, deploy to it, start its training."""

from infra.bootstrap.permissions.documents import Statement, allow, deny, requested, tagged
from infra.bootstrap.permissions.plan import read_releases
from infra.bootstrap.permissions.services import ACCOUNT_WIDE_LOOK, SERVICES, TAGGED
from infra.bootstrap.permissions.state import write_state
from infra.bootstrap.scope import Scope

PASSED_TO = ("backup", "budgets", "events", "lambda", "sagemaker", "scheduler", "states")
LINKED = ("backup", "dynamodb.application-autoscaling", "sagemaker.application-autoscaling")
_MADE_WITH_TAGS = {
    "Others": (
        "backup:CreateBackupPlan",
        "kms:CreateKey",
        "sagemaker:CreateMlflowApp",
        "sagemaker:CreateMlflowTrackingServer",
    ),
    "Network": (
        "ec2:AllocateAddress",
        "ec2:CreateFlowLogs",
        "ec2:CreateInternetGateway",
        "ec2:CreateNatGateway",
        "ec2:CreateRouteTable",
        "ec2:CreateSecurityGroup",
        "ec2:CreateSubnet",
        "ec2:CreateVpc",
        "ec2:CreateVpcEndpoint",
    ),
}
# Making one of these takes permission on what it is made in, too.
_MADE_IN = {
    "ec2:CreateFlowLogs",
    "ec2:CreateNatGateway",
    "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup",
    "ec2:CreateSubnet",
    "ec2:CreateVpcEndpoint",
}
_NETWORK_CHANGES = (
    "ec2:Associate*",
    "ec2:AttachInternetGateway",
    "ec2:Authorize*",
    "ec2:CreateRoute",
    "ec2:CreateTags",
    "ec2:Delete*",
    "ec2:DetachInternetGateway",
    "ec2:Disassociate*",
    "ec2:Modify*",
    "ec2:ReleaseAddress",
    "ec2:ReplaceRoute",
    "ec2:Revoke*",
)
_ROLE_CHANGES = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
)
_KEPT = (
    "athena:DeleteWorkGroup",
    "backup:DeleteBackupVault",
    "backup:DeleteRecoveryPoint",
    "dynamodb:DeleteTable",
    "glue:DeleteDatabase",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucket",
    "s3:DeleteObjectVersion",
    "s3:PutBucketVersioning",
)


def deploy_statements(scope: Scope, before: Scope | None, builds: bool, protected: bool) -> list[Statement]:
    """Return what an environment's deploy role may do.

    Args:
        scope: the environment.
        before: where its models come from, which it reads and copies; None for the first.
        builds: whether it pushes images; the others take them by digest.
        protected: whether it may take down what holds data.
    """
    return [
        *write_state(scope),
        *(read_releases(before, "Before") if before else ()),
        *_roles(scope),
        *_images(scope, builds),
        *([deny("KeepData", _KEPT)] if protected else []),
        allow("LookAround", ACCOUNT_WIDE_LOOK),
        *_services(scope),
        *_network(scope),
        *_tagged(scope),
    ]


def _services(scope: Scope) -> list[Statement]:
    return [
        allow(
            f"Own{service.name.title()}",
            [f"{service.name}:{action}" for action in service.alter],
            scope.owned(service.name, *service.resources),
        )
        for service in SERVICES
    ]


def _roles(scope: Scope) -> list[Statement]:
    """Allow roles of the environment that have its boundary; the bootstrap's own are named otherwise."""
    roles = scope.owned("iam", "role/{name}-*")
    within = {"StringEquals": {"iam:PermissionsBoundary": scope.boundary}}
    services = [f"{service}.amazonaws.com" for service in PASSED_TO]
    return [
        allow("RolesWithinBoundary", _ROLE_CHANGES, roles, within),
        allow(
            "RolesOfEnvironment",
            [
                "iam:DeleteRole",
                "iam:Get*",
                "iam:List*",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
            ],
            roles,
        ),
        allow("PassRoles", ["iam:PassRole"], roles, {"StringEquals": {"iam:PassedToService": services}}),
        allow("PoliciesOfEnvironment", ["iam:*Policy*", "iam:TagPolicy"], scope.owned("iam", "policy/{name}-*")),
        allow("ReadBoundary", ["iam:GetPolicy*"], [scope.boundary]),
        allow(
            "ServiceLinkedRoles",
            ["iam:CreateServiceLinkedRole"],
            [scope.home.arn("iam", "role/aws-service-role/*")],
            {"StringEquals": {"iam:AWSServiceName": [f"{service}.amazonaws.com" for service in LINKED]}},
        ),
    ]


def _images(scope: Scope, builds: bool) -> list[Statement]:
    setup = [
        allow("ReadSetup", ["ssm:GetParameter"], [scope.home.arn("ssm", f"parameter/{scope.home.project}/bootstrap")])
    ]
    return [*setup, image_statement(scope, builds)]


def image_statement(scope: Scope, builds: bool) -> Statement:
    """Allow pulling the project's images, and pushing new ones where they are built; no tag of one can be moved."""
    repository = [scope.home.arn("ecr", f"repository/{scope.home.project}")]
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:Describe*", "ecr:GetDownloadUrlForLayer"]
    push = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
    return allow("Images", [*pull, *(push if builds else ())], repository)


def _network(scope: Scope) -> list[Statement]:
    inside = [scope.home.arn("ec2", resource) for resource in TAGGED["ec2"]]
    rules = [scope.home.arn("ec2", "security-group-rule/*")]
    return [
        allow("MakeNetwork", _MADE_WITH_TAGS["Network"], inside, requested(scope.tags)),
        allow("MakeInNetwork", _MADE_IN, inside, tagged(scope.tags)),
        allow("ChangeNetwork", _NETWORK_CHANGES, inside, tagged(scope.tags)),
        # A rule is new and has no tags yet; the group that it is made in has, which MakeRules leaves to ChangeNetwork.
        allow("MakeRules", ["ec2:AuthorizeSecurityGroup*"], rules, requested(scope.tags)),
        allow("TagNetwork", ["ec2:CreateTags"], inside, {"Null": {"ec2:CreateAction": "false"}}),
    ]


def _tagged(scope: Scope) -> list[Statement]:
    def of(service: str) -> list[str]:
        return [scope.home.arn(service, resource) for resource in TAGGED[service]]

    aliases = scope.owned("kms", "alias/{name}-*")
    untagged = {**requested(scope.tags), "Null": {"aws:ResourceTag/stack": "true"}}
    made = {"StringEquals": {"sagemaker:TaggingAction": ["CreateMlflowApp", "CreateMlflowTrackingServer"]}}
    autoscaling = {"StringEquals": {"application-autoscaling:service-namespace": ["dynamodb", "sagemaker"]}}
    return [
        allow("Make", _MADE_WITH_TAGS["Others"], condition=requested(scope.tags)),
        # CreateBackupVault asks for it, and it knows neither resources nor tags
        # (https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CreateBackupVault.html).
        allow("MakeVault", ["backup-storage:MountCapsule"]),
        # Creating with tags needs a permission of its own, which excludes resources with another stack's tag.
        allow("TagNew", ["backup:TagResource", "kms:TagResource"], [*of("backup"), *of("kms")], untagged),
        allow("TagNewMlflow", ["sagemaker:AddTags"], of("sagemaker"), made),
        allow("OwnKeys", ["kms:*"], of("kms"), tagged(scope.tags)),
        allow("OwnAliases", ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"], aliases),
        allow("OwnBackupPlans", ["backup:*"], of("backup"), tagged(scope.tags)),
        allow(
            "OwnScaling",
            [
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
            ],
            of("application-autoscaling"),
            autoscaling,
        ),
        # of target tracking, which PutScalingPolicy and DeleteScalingPolicy make and delete by the caller's permissions
        # (https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_id-based-policy-examples.html)
        allow(
            "OwnScalingAlarms",
            ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm"],
            scope.owned("cloudwatch", "alarm:TargetTracking-endpoint/{name}/*"),
        ),
        allow(
            "TagScaling",
            ["application-autoscaling:ListTagsForResource", "application-autoscaling:TagResource"],
            of("application-autoscaling"),
        ),
        allow("OwnMlflow", ["sagemaker:*"], of("sagemaker"), tagged(scope.tags)),
    ]
