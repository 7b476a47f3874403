"""The permissions of a pull request's plan: read an environment's configuration and releases, but no data."""

from infra.bootstrap.permissions.documents import Statement, allow, tagged
from infra.bootstrap.permissions.services import ACCOUNT_WIDE_LOOK, SERVICES, TAGGED
from infra.bootstrap.permissions.state import read_state
from infra.bootstrap.scope import Scope
from pipelines.contracts import keys
from pipelines.contracts.stack import parameter_name

COMPLETE = "complete*"
"""The prefix of the keys under which the online store keeps the moment up to which a view is materialised."""

_LOOK_AT_TAGGED = {
    "kms": (
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:GetPublicKey",
        "kms:ListResourceTags",
    ),
    "backup": ("backup:GetBackup*", "backup:ListTags"),
    "sagemaker": ("sagemaker:Describe*", "sagemaker:ListTags"),
}


def plan_statements(scope: Scope, before: Scope | None = None) -> list[Statement]:
    """Return what an environment's plan role may do.

    Args:
        scope: the environment.
        before: where its models come from, whose releases show whether it was skipped; None for the first.
    """
    return [
        *read_releases(scope),
        *(read_releases(before, "Before") if before else ()),
        see_features(scope),
        *read_state(scope),
        allow("LookAround", ACCOUNT_WIDE_LOOK),
        allow("LookAtRoles", ["iam:Get*", "iam:List*"], scope.owned("iam", "role/{name}-*", "policy/{name}-*")),
        allow("ReadBoundary", ["iam:GetPolicy*"], [scope.boundary]),
        allow("ReadSetup", ["ssm:GetParameter"], [scope.home.arn("ssm", f"parameter/{scope.home.project}/bootstrap")]),
        allow("LookAtImages", ["ecr:DescribeImages", "ecr:DescribeRepositories"], _repository(scope)),
        *(
            allow(
                f"LookAt{service.name.title()}",
                [f"{service.name}:{action}" for action in service.look],
                scope.owned(service.name, *service.resources),
            )
            for service in SERVICES
        ),
        *(
            allow(
                f"LookAtTagged{service.title()}",
                actions,
                [scope.home.arn(service, resource) for resource in TAGGED[service]],
                tagged(scope.tags),
            )
            for service, actions in _LOOK_AT_TAGGED.items()
        ),
    ]


def read_releases(scope: Scope, where: str = "") -> list[Statement]:
    """Allow reading models and releases, which checks and promotions do: neither holds a row of data."""
    setup = [scope.home.arn("ssm", f"parameter{parameter_name(scope.home.project, scope.environment)}")]
    read = (keys.MODELS, keys.VERSIONS, keys.RELEASES)
    objects = scope.stored(keys.STACK, *read)
    listed = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in read]}}
    encryption = [scope.home.arn("kms", "key/*")]
    services = [f"{service}.{scope.home.region}.amazonaws.com" for service in ("dynamodb", "s3")]
    through = {"StringEquals": {**tagged(scope.tags)["StringEquals"], "kms:ViaService": services}}
    return [
        allow(f"FindStores{where}", ["ssm:GetParameter"], setup),
        allow(f"ReadReleases{where}", ["s3:GetObject"], objects),
        allow(f"ListReleases{where}", ["s3:ListBucket"], scope.owned("s3", "{name}-*"), listed),
        allow(f"VerifyReleases{where}", ["kms:GetPublicKey"], encryption, tagged(scope.tags)),
        allow(f"DecryptReleases{where}", ["kms:Decrypt"], encryption, through),
    ]


def see_features(scope: Scope) -> Statement:
    """Allow reading up to when each feature view is materialised, and no feature."""
    return allow(
        "SeeHowFeaturesStand",
        ["dynamodb:GetItem"],
        scope.owned("dynamodb", "table/{name}-*"),
        {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": [COMPLETE]}},  # of the one item that GetItem takes
    )


def _repository(scope: Scope) -> list[str]:
    return [scope.home.arn("ecr", f"repository/{scope.home.project}")]
