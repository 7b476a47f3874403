"""Pulumi's state: an environment's roles reach its own stacks and no other's.

The S3 backend keeps ``.pulumi/stacks/<project>/<stack>.json`` and its backups, histories and locks in folders that
end in the name of the stack; ``pulumi preview`` takes no lock.
"""

from infra.bootstrap.permissions.documents import Condition, Statement, allow
from infra.bootstrap.scope import Scope


def read_state(scope: Scope) -> list[Statement]:
    """Allow reading the state of the environment's stacks, and the secrets in it."""
    bucket = scope.home.arn("s3", scope.home.state_bucket)
    return [
        allow("ListState", ["s3:GetBucketLocation", "s3:ListBucket"], [bucket]),
        allow("ReadState", ["s3:GetObject"], [f"{bucket}/.pulumi/meta.yaml", *_stacks(scope)]),
        allow("ReadSecretsOfState", ["kms:Decrypt", "kms:DescribeKey"], *_key(scope)),
    ]


def write_state(scope: Scope) -> list[Statement]:
    """Allow changing the state of the environment's stacks as well."""
    return [
        *read_state(scope),
        allow("WriteState", ["s3:DeleteObject", "s3:PutObject"], _stacks(scope)),
        allow("WriteSecretsOfState", ["kms:Encrypt", "kms:GenerateDataKey"], *_key(scope)),
    ]


def _stacks(scope: Scope) -> list[str]:
    bucket = scope.home.arn("s3", scope.home.state_bucket)
    return [f"{bucket}/.pulumi/*/{scope.environment}.*", f"{bucket}/.pulumi/*/{scope.environment}/*"]


def _key(scope: Scope) -> tuple[list[str], Condition]:
    """Return the key of the state by its alias: an alias is known before the key exists."""
    alias = f"alias/{scope.home.project}-state"
    return [scope.home.arn("kms", "key/*")], {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
