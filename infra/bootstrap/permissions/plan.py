"""What the plan of a pull request may do: read how an environment is set up, and none of the data in it."""

from infra.bootstrap.permissions.documents import Statement, allow, tagged
from infra.bootstrap.permissions.services import ACCOUNT_WIDE_LOOK, SERVICES, TAGGED
from infra.bootstrap.permissions.state import read_state
from infra.bootstrap.scope import Scope

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


def plan_statements(scope: Scope) -> list[Statement]:
    """Return what an environment's plan role may do."""
    return [
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


def _repository(scope: Scope) -> list[str]:
    return [scope.home.arn("ecr", f"repository/{scope.home.project}")]
