"""The roles of people: IAM roles that they assume, or permission sets of IAM Identity Center."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.bootstrap.permissions.documents import Document, document, pack, text
from infra.bootstrap.permissions.people import Person, people_statements
from infra.bootstrap.scope import Home, Scope, shortened
from infra.bootstrap.settings import BootstrapSettings, Roles, SingleSignOn
from infra.bootstrap.trust import people_trust

WORKDAY_SECONDS, WORKDAY = 8 * 3600, "PT8H"
PERMISSION_SET_NAME = 32  # characters


@dataclass(frozen=True, kw_only=True)
class PeopleArgs:
    """The inputs of people's access.

    Attributes:
        home: the account.
        scopes: its environments.
        settings: how people sign in.
    """

    home: Home
    scopes: tuple[Scope, ...]
    settings: BootstrapSettings


class People(pulumi.ComponentResource):
    """Access by role: data scientist, approver, engineer."""

    def __init__(self, args: PeopleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:bootstrap:People", "people", None, opts)
        self._home, self._child = args.home, pulumi.ResourceOptions(parent=self)
        may = {person: people_statements(person, args.scopes, args.settings.trains) for person in Person}
        given = {person: statements for person, statements in may.items() if statements}
        if args.settings.roles:
            for person, statements in given.items():
                self._role(person, pack(statements), args.settings.roles)
        elif args.settings.single_sign_on:
            self._permission_sets(
                {person: document(one) for person, one in given.items()}, args.settings.single_sign_on
            )
        self.register_outputs({})

    def _role(self, person: Person, policies: list[Document], roles: Roles) -> None:
        name = f"{self._home.project}-{person}"
        role = aws.iam.Role(
            name,
            name=name,
            assume_role_policy=text(people_trust(roles)),
            max_session_duration=WORKDAY_SECONDS,
            opts=self._child,
        )
        for number, policy in enumerate(policies, start=1):
            made = aws.iam.Policy(f"{name}-{number}", name=f"{name}-{number}", policy=text(policy), opts=self._child)
            aws.iam.RolePolicyAttachment(f"{name}-{number}", role=role.name, policy_arn=made.arn, opts=self._child)

    def _permission_sets(self, policies: dict[Person, Document], sign_on: SingleSignOn) -> None:
        opts = self._child
        if sign_on.profile:
            provider = aws.Provider("identity-center", region=self._home.region, profile=sign_on.profile, opts=opts)
            opts = pulumi.ResourceOptions(parent=self, provider=provider)
        found = aws.ssoadmin.get_instances_output(opts=pulumi.InvokeOptions(parent=self, provider=opts.provider))
        instance = found.arns[0]
        for person, policy in policies.items():
            name = f"{self._home.project}-{person}"
            made = aws.ssoadmin.PermissionSet(
                name,
                name=shortened(name, PERMISSION_SET_NAME),
                instance_arn=instance,
                session_duration=WORKDAY,
                opts=opts,
            )
            aws.ssoadmin.PermissionSetInlinePolicy(
                name, instance_arn=instance, permission_set_arn=made.arn, inline_policy=text(policy), opts=opts
            )
            aws.ssoadmin.AccountAssignment(
                name,
                instance_arn=instance,
                permission_set_arn=made.arn,
                principal_id=sign_on.group(person),
                principal_type="GROUP",
                target_id=self._home.account,
                target_type="AWS_ACCOUNT",
                opts=opts,
            )
