"""The configuration of an account in ``Pulumi.<stack>.yaml``; everything else follows from it."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pipelines.config.errors import UserError
from pipelines.config.strict import StrictModel, explain

NAMESPACE = "bootstrap:"
Account = Annotated[
    str,
    BeforeValidator(lambda given: f"{given:012d}" if type(given) is int else given),
    Field(pattern=r"^\d{12}$"),
]
"""Twelve digits; YAML reads them as a number where they stand without quotes."""
# Roles of the bootstrap are named <project>-<kind>-<environment>, resources <project>-<environment>-<part>: an
# environment by one of these names would own the roles that are to hold it.
RESERVED = frozenset({"boundary", "bootstrap", "clock", "deploy", "main", "plan", "state"})


class GitHubPlan(StrEnum):
    """The GitHub plan of the repository's owner; Pro counts as team."""

    FREE = "free"
    TEAM = "team"
    ENTERPRISE = "enterprise"


class GitHubSettings(StrictModel):
    """The repository that may act on the account.

    Attributes:
        owner: organisation or user, by name.
        owner_id: their number, which a later owner of the same name does not get.
        repository: by name.
        repository_id: its number.
        plan: what GitHub enforces depends on it (docs/github.md).
        private: whether the repository is private or internal.
        immutable_subject: whether its tokens name the numbers too, as those of repositories made or renamed since
            15 July 2026 do; ``false`` is the older form, names alone, with the repository's number beside it.
        adopt_provider: whether the account has GitHub's identity provider already; there is one an account.
        code_security: whether GitHub Code Security, which is bought beside a plan, is on for a private repository.
        alone: whether one person works here, whose own pull requests nobody else could approve.
        reviewers: numbers of the teams that must release each run of a protected environment.
    """

    owner: str = Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9])*$")
    owner_id: int = Field(gt=0)
    repository: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    repository_id: int = Field(gt=0)
    plan: GitHubPlan = GitHubPlan.TEAM
    private: bool = True
    immutable_subject: bool = True
    adopt_provider: bool = False
    code_security: bool = False
    alone: bool = False
    reviewers: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _offered(self) -> Self:
        if self.private and self.plan is GitHubPlan.FREE:
            raise ValueError(
                "plan: a private repository on the plan free has no environments, so no workflow would get a role and "
                "nobody would be told; make it public, or take the plan team, or run on the profile embedded alone"
            )
        if self.reviewers and self.private and self.plan is not GitHubPlan.ENTERPRISE:
            raise ValueError(
                f"reviewers: GitHub has required reviewers on private repositories with the plan enterprise alone, "
                f"not {self.plan}; leave them out, the reviewed merge of releases/ is the approval"
            )
        return self


class Roles(StrictModel):
    """People assume IAM roles.

    Attributes:
        trusted: ARNs of the users or roles that may.
        mfa: whether they must have used a second factor; ``false`` where the sign-in before it asks for one.
    """

    trusted: tuple[Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(user|role|root)")], ...] = Field(
        min_length=1
    )
    mfa: bool = True


class SingleSignOn(StrictModel):
    """People sign in by IAM Identity Center.

    Attributes:
        data_scientists, approvers, engineers: identifiers of the groups there.
        profile: of the AWS configuration, for the organisation's management account where this is another one.
    """

    data_scientists: str
    approvers: str
    engineers: str
    profile: str | None = None

    def group(self, person: str) -> str:
        """Return the group of a role of people, such as ``data-scientist``."""
        return {"data-scientist": self.data_scientists, "approver": self.approvers, "engineer": self.engineers}[person]


class BootstrapSettings(StrictModel):
    """An account, and what is to run in it.

    Attributes:
        account: twelve digits; with credentials of another account nothing is done.
        environments: that run in this account, in the order of promotion.
        trains: the environment that trains, here or in another account.
        protected: whose data no workflow may delete.
        scheduled: environments that are up, which the workflows' schedules look at; empty starts none of them.
        image_readers: accounts that may pull images from this one, to promote them.
        github: the repository.
        roles, single_sign_on: how people get access; neither for none.
    """

    account: Account
    environments: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,11}$")], ...] = Field(min_length=1)
    trains: str = "dev"
    protected: tuple[str, ...] = ("prod",)
    scheduled: tuple[str, ...] = ()
    image_readers: tuple[Account, ...] = ()
    github: GitHubSettings
    roles: Roles | None = None
    single_sign_on: SingleSignOn | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if reserved := RESERVED & set(self.environments):
            raise ValueError(f"environments: {min(reserved)!r} is a name of the bootstrap's own; choose another")
        if len(set(self.environments)) < len(self.environments):
            raise ValueError("environments: each once")
        if self.github.reviewers and self.trains in self.protected:
            raise ValueError(
                f"protected: {self.trains!r} trains, so reviewers would have to release each look at the triggers; "
                "state reviewers for environments that do not train alone"
            )
        if self.roles and self.single_sign_on:
            raise ValueError("roles, single_sign_on: state only one of them")
        return self

    @property
    def is_first(self) -> bool:
        """Whether this account has the environment that trains, and so keeps what the repository has once."""
        return self.trains in self.environments

    @classmethod
    def parse(cls, given: Mapping[str, str], source: str) -> Self:
        """Read the settings of a stack from Pulumi's configuration, in which values other than text are JSON.

        Raises:
            UserError: naming ``source``, each key that is wrong, and what is allowed there.
        """
        keys = {key.removeprefix(NAMESPACE): _value(text) for key, text in given.items() if key.startswith(NAMESPACE)}
        if not keys:
            raise UserError(f"{source} says nothing about the account; docs/first-day.md shows what to write")
        try:
            return cls.model_validate_json(json.dumps(keys))
        except ValidationError as error:
            raise UserError("\n".join(f"{source}: {line}" for line in explain(error, cls))) from error


def _value(text: str) -> Any:
    try:
        return text if text.isdigit() else json.loads(text)  # an account, which may begin with a zero
    except ValueError:
        return text
