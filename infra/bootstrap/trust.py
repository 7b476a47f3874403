"""The trust policies of roles: for tokens of one repository, by its numbers, and for people.

The claims that AWS can compare: IAM user guide, "Available keys for AWS OIDC federation" (GitHub's since January 2026).
A repository's number is compared as well as its subject, so that the older form, names alone, is bound to it too.
"""

from typing import Any

from infra.bootstrap.permissions.documents import Condition, Document, document
from infra.bootstrap.settings import GitHubSettings, Roles

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
MAIN = "refs/heads/main"


def subject(repository: GitHubSettings, what: str) -> str:
    """Return the subject of a token for ``what``, such as ``environment:dev``; a colon in a name arrives as %3A."""
    owner, name = repository.owner, repository.repository
    if repository.immutable_subject:
        owner, name = f"{owner}@{repository.owner_id}", f"{name}@{repository.repository_id}"
    return f"repo:{owner}/{name}:{what}"


def deploy_trust(provider: str, repository: GitHubSettings, environment: str) -> Document:
    """Trust the jobs of one GitHub environment, on the main branch alone."""
    return _web_identity(provider, _claims(repository, sub=subject(repository, f"environment:{environment}"), ref=MAIN))


def plan_trust(provider: str, repository: GitHubSettings, environment: str) -> Document:
    """Trust jobs for pull requests, and those on the main branch: the nightly look for drift.

    A pull request from a fork gets no token from GitHub, so these are of branches of the repository itself. One that a
    workflow opened is checked by a run on its branch, ``promote/<environment>`` or ``revert/<environment>``.
    """
    branches = [MAIN, *(f"refs/heads/{kind}/{environment}" for kind in ("promote", "revert"))]
    subjects = [subject(repository, "pull_request"), *(subject(repository, f"ref:{branch}") for branch in branches)]
    return _web_identity(provider, _claims(repository, sub=subjects))


def clock_trust(provider: str, repository: GitHubSettings) -> Document:
    """Trust jobs on the main branch that are of no GitHub environment, whose reviewers would hold them up."""
    return _web_identity(provider, _claims(repository, sub=subject(repository, f"ref:{MAIN}")))


def people_trust(roles: Roles) -> Document:
    """Trust people by the identities that they signed in with."""
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}} if roles.mfa else None
    return _statement({"AWS": list(roles.trusted)}, "sts:AssumeRole", condition)


def provider_arn(account: str) -> str:
    """Return the ARN of GitHub's identity provider in an account."""
    return f"arn:aws:iam::{account}:oidc-provider/{ISSUER}"


def _claims(repository: GitHubSettings, **claims: object) -> Condition:
    given = {"aud": AUDIENCE, "repository_id": str(repository.repository_id), **claims}
    return {"StringEquals": {f"{ISSUER}:{name}": value for name, value in given.items()}}


def _web_identity(provider: str, condition: Condition) -> Document:
    return _statement({"Federated": provider}, "sts:AssumeRoleWithWebIdentity", condition)


def _statement(principal: dict[str, Any], action: str, condition: Condition | None) -> Document:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return document([statement | ({"Condition": condition} if condition else {})])
