"""The parts that policy documents are made of."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

Statement = dict[str, Any]
Document = dict[str, Any]
Condition = Mapping[str, Mapping[str, Any]]

MANAGED_POLICY_LIMIT = 6144
"""Characters without white space: IAM quotas, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


def allow(
    sid: str, actions: Iterable[str], resources: Iterable[str] = ("*",), condition: Condition | None = None
) -> Statement:
    """Return a statement that allows actions on resources."""
    return _statement("Allow", sid, actions, resources, condition)


def deny(
    sid: str, actions: Iterable[str], resources: Iterable[str] = ("*",), condition: Condition | None = None
) -> Statement:
    """Return a statement that denies actions on resources, whatever else allows them."""
    return _statement("Deny", sid, actions, resources, condition)


def document(statements: Iterable[Statement]) -> Document:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def text(policy: Document) -> str:
    """Return a document as JSON without white space, of which IAM counts every character."""
    return json.dumps(policy, separators=(",", ":"))


def pack(statements: Iterable[Statement], limit: int = MANAGED_POLICY_LIMIT) -> list[Document]:
    """Return documents that hold the statements in their order, each within the limit."""
    packed: list[list[Statement]] = []
    for statement in statements:
        if packed and len(text(document([*packed[-1], statement]))) <= limit:
            packed[-1].append(statement)
        else:
            packed.append([statement])
    return [document(group) for group in packed]


def requested(tags: Mapping[str, str]) -> Condition:
    """Return the condition that a resource is made with these tags."""
    return {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in tags.items()}}


def tagged(tags: Mapping[str, str]) -> Condition:
    """Return the condition that a resource has these tags."""
    return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in tags.items()}}


def _statement(
    effect: str, sid: str, actions: Iterable[str], resources: Iterable[str], condition: Condition | None
) -> Statement:
    made: Statement = {"Sid": sid, "Effect": effect, "Action": sorted(actions), "Resource": list(resources)}
    return made | ({"Condition": condition} if condition else {})
