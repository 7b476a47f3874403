"""The workflows' roles for each environment, to deploy, to plan and for the clockwork, and the boundary."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.bootstrap.permissions.boundary import boundary
from infra.bootstrap.permissions.clock import clock_statements
from infra.bootstrap.permissions.deploy import deploy_statements
from infra.bootstrap.permissions.documents import Document, Statement, pack, text
from infra.bootstrap.permissions.plan import plan_statements
from infra.bootstrap.scope import Scope
from infra.bootstrap.settings import GitHubSettings
from infra.bootstrap.trust import AUDIENCE, ISSUER, clock_trust, deploy_trust, plan_trust, provider_arn

HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class WorkflowsArgs:
    """The inputs of the roles.

    Attributes:
        github: the repository.
        scopes: the environments of the account in the order of promotion; the first builds the images.
        protected: environments whose data no workflow may delete.
    """

    github: GitHubSettings
    scopes: tuple[Scope, ...]
    protected: tuple[str, ...]


class Workflows(pulumi.ComponentResource):
    """The roles that trust GitHub.

    Attributes:
        deploy: ARN of the role of each environment's workflows.
        plan: ARN of the role of its plans.
        clock: ARN of the role of what is reported, proposed and rolled back in it.
    """

    def __init__(self, args: WorkflowsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:bootstrap:Workflows", "workflows", None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        provider = provider_arn(args.scopes[0].home.account)
        trusted = pulumi.ResourceOptions(parent=self, depends_on=self._trust_github(args.github))
        self.deploy: dict[str, pulumi.Output[str]] = {}
        self.plan: dict[str, pulumi.Output[str]] = {}
        self.clock: dict[str, pulumi.Output[str]] = {}
        for before, scope in zip((None, *args.scopes), args.scopes, strict=False):
            name = scope.environment
            self._policy(scope.boundary.rpartition("/")[2], text(boundary(scope)))
            may = deploy_statements(scope, before, builds=scope is args.scopes[0], protected=name in args.protected)
            self.deploy[name] = self._role(
                scope.role("deploy"), deploy_trust(provider, args.github, name), may, trusted
            )
            self.plan[name] = self._role(
                scope.role("plan"), plan_trust(provider, args.github, name), plan_statements(scope, before), trusted
            )
            self.clock[name] = self._role(
                scope.role("clock"), clock_trust(provider, args.github), clock_statements(scope, before), trusted
            )
        self.register_outputs({"deploy": self.deploy, "plan": self.plan, "clock": self.clock})

    def _trust_github(self, github: GitHubSettings) -> list[pulumi.Resource]:
        """Return the identity provider, unless the account has it; another project may use it when this one is gone."""
        if github.adopt_provider:
            return []
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        url = f"https://{ISSUER}"
        return [aws.iam.OpenIdConnectProvider("github", url=url, client_id_lists=[AUDIENCE], opts=kept)]

    def _role(
        self, name: str, trust: Document, may: list[Statement], opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        role = aws.iam.Role(name, name=name, assume_role_policy=text(trust), max_session_duration=HOUR, opts=opts)
        for number, policy in enumerate(pack(may), start=1):
            made = self._policy(f"{name}-{number}", text(policy))
            aws.iam.RolePolicyAttachment(f"{name}-{number}", role=role.name, policy_arn=made.arn, opts=self._child)
        arn: pulumi.Output[str] = role.arn
        return arn

    def _policy(self, name: str, policy: str) -> aws.iam.Policy:
        return aws.iam.Policy(name, name=name, policy=policy, opts=self._child)
