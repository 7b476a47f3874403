"""The rules: each is a function from an environment's resources to a line for every violation."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from infra.policies import pods
from infra.resource import UNKNOWN, Resource

Rule = Callable[[Sequence[Resource]], Iterator[str]]

TAGS = ("project", "environment", "stack", "owner")
INSTANCES = re.compile(r"^ml\.(t3|m5|m6i|m7i|c5|c6i|c7i|r5|g4dn|g5|g6)\.(medium|large|xlarge|2xlarge|4xlarge)$")
LONGEST_LOGS = 731
_LOGS = {"aws:lambda/function:Function": "lambda", "aws:sagemaker/endpoint:Endpoint": "sagemaker/Endpoints"}
_AT_REST = {
    "aws:athena/workgroup:Workgroup": ("configuration", "resultConfiguration", "encryptionConfiguration", "kmsKeyArn"),
    "aws:backup/vault:Vault": ("kmsKeyArn",),
    "aws:cloudwatch/eventBus:EventBus": ("kmsKeyIdentifier",),
    "aws:cloudwatch/logGroup:LogGroup": ("kmsKeyId",),
    "aws:dynamodb/table:Table": ("serverSideEncryption", "kmsKeyArn"),
    "aws:lambda/function:Function": ("kmsKeyArn",),
    "aws:s3/bucketObjectv2:BucketObjectv2": ("kmsKeyId",),
    "aws:sns/topic:Topic": ("kmsMasterKeyId",),
    "aws:sqs/queue:Queue": ("kmsMasterKeyId",),
}
"""By type: where it names the key that encrypts it."""
_TLS = {
    "aws:s3/bucket:Bucket": ("aws:s3/bucketPolicy:BucketPolicy", "bucket"),
    "aws:sns/topic:Topic": ("aws:sns/topicPolicy:TopicPolicy", "arn"),
    "aws:sqs/queue:Queue": ("aws:sqs/queuePolicy:QueuePolicy", "queueUrl"),
}
"""By type: the policy that refuses what is not encrypted on its way, and how it names what it is of."""
_PRIVATE = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_HOLDS_DATA = (
    "aws:backup/vault:Vault", "aws:dynamodb/table:Table", "aws:glue/catalogDatabase:CatalogDatabase",
    "aws:kms/key:Key", "aws:s3/bucket:Bucket",
)  # fmt: skip
_SECRET = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|gh[pousr]_[A-Za-z0-9]{36}|xox[bp]-\d+")


def encrypted_at_rest(resources: Sequence[Resource]) -> Iterator[str]:
    """Every store of data names the environment's key."""
    for one in resources:
        if one.type in _AT_REST and not _at(one.props, _AT_REST[one.type]):
            yield f"{_named(one)} names no key of KMS: give it {'.'.join(_AT_REST[one.type])}"
    encrypted = {one.name for one in resources if one.type.endswith(":BucketServerSideEncryptionConfiguration")}
    for bucket in _of(resources, "aws:s3/bucket:Bucket"):
        if bucket.name not in encrypted:
            yield f"{_named(bucket)} has no BucketServerSideEncryptionConfiguration"


def encrypted_in_transit(resources: Sequence[Resource]) -> Iterator[str]:
    """Every resource that others reach refuses requests without TLS."""
    policies = {(one.type, one.name): one.props.get("policy", "") for one in resources}
    for one in resources:
        if one.type in _TLS and not _denies_plain(policies.get((_TLS[one.type][0], one.name), "")):
            yield f"{_named(one)} answers without TLS: deny aws:SecureTransport false in its policy"


def private_buckets(resources: Sequence[Resource]) -> Iterator[str]:
    """No bucket is public, nor can be made so."""
    blocks = {one.name: one.props for one in _of(resources, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")}
    for bucket in _of(resources, "aws:s3/bucket:Bucket"):
        open_ = [name for name in _PRIVATE if blocks.get(bucket.name, {}).get(name) is not True]
        if open_:
            yield f"{_named(bucket)} can be made public: set {', '.join(open_)}"


def narrow_permissions(resources: Sequence[Resource]) -> Iterator[str]:
    """No role may do everything of a service to everything; and nobody but the account's own may take a role."""
    for one in resources:
        if one.type == "aws:kms/key:Key":
            continue  # "*" in the policy of a key is that key
        for statement in _statements(one.props.get("policy") or one.props.get("assumeRolePolicy")):
            actions, targets = _list(statement.get("Action")), _list(statement.get("Resource"))
            wide = [action for action in actions if action == "*" or action.endswith(":*")]
            if statement["Effect"] == "Allow" and wide and (not targets or "*" in targets):
                yield f"{_named(one)} allows {', '.join(wide)} on everything"
            if statement["Effect"] == "Allow" and "*" in _principals(statement):
                yield f"{_named(one)} trusts everybody"


def bounded_roles(resources: Sequence[Resource]) -> Iterator[str]:
    """Each role is within the permissions boundary."""
    for role in _of(resources, "aws:iam/role:Role"):
        if not role.props.get("permissionsBoundary"):
            yield f"{_named(role)} has no permissions boundary"


def retained_logs(resources: Sequence[Resource]) -> Iterator[str]:
    """Logs end, and what writes logs has a group of its own for them."""
    groups = {one.props.get("name"): one for one in _of(resources, "aws:cloudwatch/logGroup:LogGroup")}
    for one in groups.values():
        if not 0 < one.props.get("retentionInDays", 0) <= LONGEST_LOGS:
            yield f"{_named(one)} keeps logs for ever: set retentionInDays"
    for token, place in (
        ("lambda/function:Function", "lambda"),
        ("sagemaker/endpoint:Endpoint", "sagemaker/Endpoints"),
    ):
        for one in _of(resources, f"aws:{token}"):
            if f"/aws/{place}/{one.props['name']}" not in groups:
                yield f"{_named(one)} would make a log group that keeps logs for ever: make /aws/{place}/…"


def tagged(resources: Sequence[Resource]) -> Iterator[str]:
    """Every resource has the tags that permissions and bills refer to."""
    for one in resources:
        tags = {**(_at(one.provider, ("defaultTags", "tags")) or {}), **(one.props.get("tags") or {})}
        missing = [tag for tag in TAGS if not tags.get(tag)]
        if one.custom and missing:
            yield f"{_named(one)} lacks the tags {', '.join(missing)}"


def allowed_instances(resources: Sequence[Resource]) -> Iterator[str]:
    """Instances are of the families and sizes that the team pays for; the largest are asked for by changing this."""
    for one in resources:
        for instance in _instances(one.props):
            if not INSTANCES.match(instance):
                yield f"{_named(one)} takes {instance}, which is not among {INSTANCES.pattern}"


def budgeted(resources: Sequence[Resource]) -> Iterator[str]:
    """A budget notifies somebody and has a stop action, unless the environment adopts one, which its document names."""
    budgets = _of(resources, "aws:budgets/budget:Budget")
    adopted = any(one.type == "mlops:infra:Cost" for one in resources) and not budgets and _adopts_budget(resources)
    if not budgets and not adopted:
        yield "there is no budget"
    for budget in budgets:
        if not any(notice.get("subscriberSnsTopicArns") for notice in budget.props.get("notifications", ())):
            yield f"{_named(budget)} notifies nobody"
    if budgets and not _of(resources, "aws:budgets/budgetAction:BudgetAction"):
        yield "the budget stops nothing: add a BudgetAction"


def kept_in_production(resources: Sequence[Resource]) -> Iterator[str]:
    """In production, what holds data is protected from being deleted; so is an environment without the tag."""
    for one in resources:
        tags = _at(one.provider, ("defaultTags", "tags")) or {}
        if one.type in _HOLDS_DATA and tags.get("production", "true") == "true":
            if not one.protect:
                yield f"{_named(one)} is not protected"
            if one.type == "aws:dynamodb/table:Table" and not one.props.get("deletionProtectionEnabled"):
                yield f"{_named(one)} has no deletion protection"
            if one.props.get("forceDestroy"):
                yield f"{_named(one)} would be emptied to be deleted: forceDestroy"


def secretless(resources: Sequence[Resource]) -> Iterator[str]:
    """No secret stands in plain text; the program needs none at all."""
    for one in resources:
        if _SECRET.search(json.dumps(one.props, default=str)):
            yield f"{_named(one)} holds a secret in plain text"


RULES: tuple[Rule, ...] = (
    encrypted_at_rest,
    encrypted_in_transit,
    private_buckets,
    narrow_permissions,
    bounded_roles,
    retained_logs,
    tagged,
    allowed_instances,
    budgeted,
    kept_in_production,
    secretless,
)


LOCAL: tuple[Rule, ...] = (*pods.RULES, secretless)
"""The rules for the local environment, whose emulator enforces nothing and costs nothing."""


def rules_of(resources: Sequence[Resource]) -> tuple[Rule, ...]:
    """Return the rules of an environment."""
    return LOCAL if any(one.type == "mlops:infra:LocalEnvironment" for one in resources) else RULES


def violations(resources: Sequence[Resource]) -> list[str]:
    """Return the violations of every rule by the resources of an environment."""
    return [f"{rule.__name__}: {line}" for rule in rules_of(resources) for line in rule(resources)]


def _of(resources: Sequence[Resource], token: str) -> list[Resource]:
    return [one for one in resources if one.type == token]


def _named(one: Resource) -> str:
    return f"{one.type.rpartition(':')[2]} {one.name!r}"


def _at(props: Any, path: Sequence[str]) -> Any:
    for part in path:
        if props == UNKNOWN:
            return UNKNOWN
        props = json.loads(props) if isinstance(props, str) else props
        props = (props or {}).get(part)
    return props


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _statements(policy: Any) -> list[dict[str, Any]]:
    if policy == UNKNOWN:
        return []
    text = policy if isinstance(policy, str) else json.dumps(policy or {})
    return list(json.loads(text or "{}").get("Statement", ()))


def _principals(statement: dict[str, Any]) -> list[str]:
    principal = statement.get("Principal", {})
    return ["*"] if principal == "*" else _list(principal.get("AWS"))


def _denies_plain(policy: Any) -> bool:
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    return policy == UNKNOWN or any(
        one["Effect"] == "Deny" and one.get("Condition") == plain and one.get("Principal") == "*"
        for one in _statements(policy)
    )


def _instances(props: Any) -> Iterator[str]:
    if isinstance(props, dict):
        props = props.values()
    if isinstance(props, str):
        yield from re.findall(r"\bml\.[a-z0-9-]+\.[a-z0-9]+\b", props)
    elif not isinstance(props, bool | int | float | None):
        for value in props:
            yield from _instances(value)


def _adopts_budget(resources: Sequence[Resource]) -> bool:
    return any(_at(one.provider, ("defaultTags", "tags", "budget")) for one in resources)
