"""The repository on GitHub: environments and their variables, the protected branch, the workflows' token."""

from dataclasses import dataclass

import pulumi
import pulumi_github as github

from infra.bootstrap.settings import GitHubPlan, GitHubSettings

MAIN = "main"
REQUIRED_CHECK = "required checks"


@dataclass(frozen=True, kw_only=True)
class GitHubSideArgs:
    """The inputs of the repository.

    Attributes:
        github: the repository.
        environments: of this account, in the order of promotion.
        protected: environments that ask for reviewers, where there are any.
        variables: of each environment, for its own workflows alone.
        shared: of the repository, for plans of pull requests, which belong to no environment.
        labels: of issues and pull requests, with ``color`` and ``description``.
        is_first: whether this account's stack keeps what the repository has once.
    """

    github: GitHubSettings
    environments: tuple[str, ...]
    protected: tuple[str, ...]
    variables: dict[str, dict[str, pulumi.Input[str]]]
    shared: dict[str, pulumi.Input[str]]
    labels: dict[str, dict[str, str]]
    is_first: bool


class GitHubSide(pulumi.ComponentResource):
    """The rules that GitHub enforces on the repository's plan; :func:`not_enforced` lists those that it does not."""

    def __init__(self, args: GitHubSideArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:bootstrap:GitHubSide", "github", None, opts)
        self._args, self._slug = args, args.github.repository
        provider = github.Provider("github", owner=args.github.owner, opts=pulumi.ResourceOptions(parent=self))
        self._child = pulumi.ResourceOptions(parent=self, provider=provider)
        for environment in args.environments:
            self._environment(environment)
        for name, value in args.shared.items():
            github.ActionsVariable(name, repository=self._slug, variable_name=name, value=value, opts=self._child)
        if args.is_first:
            self._repository()
        self.register_outputs({})

    def _environment(self, environment: str) -> None:
        reviewed = environment in self._args.protected and self._args.github.reviewers
        made = github.RepositoryEnvironment(
            environment,
            repository=self._slug,
            environment=environment,
            can_admins_bypass=False,
            deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True},
            reviewers=[{"teams": list(self._args.github.reviewers)}] if reviewed else None,
            prevent_self_review=True if reviewed else None,
            opts=self._child,
        )
        github.RepositoryEnvironmentDeploymentPolicy(
            environment, repository=self._slug, environment=made.environment, branch_pattern=MAIN, opts=self._child
        )
        for name, value in self._args.variables[environment].items():
            github.ActionsEnvironmentVariable(
                f"{environment}-{name}",
                repository=self._slug,
                environment=made.environment,
                variable_name=name,
                value=value,
                opts=self._child,
            )

    def _repository(self) -> None:
        for name, value in offered(self._args.github).items():
            github.ActionsVariable(name, repository=self._slug, variable_name=name, value=value, opts=self._child)
        for name, label in self._args.labels.items():
            github.IssueLabel(f"label-{name}", repository=self._slug, name=name, **label, opts=self._child)
        # Workflows open the pull requests of promotions; no approval of theirs counts, as no bot is a code owner.
        github.WorkflowRepositoryPermissions(
            "token",
            repository=self._slug,
            default_workflow_permissions="read",
            can_approve_pull_request_reviews=True,
            opts=self._child,
        )
        github.BranchProtection(
            MAIN,
            repository_id=self._slug,
            pattern=MAIN,
            enforce_admins=True,
            allows_force_pushes=False,
            allows_deletions=False,
            require_conversation_resolution=True,
            # Not strict: whoever presses "Update branch" is the last to push, and their approval counts no more.
            required_status_checks=[{"strict": False, "contexts": [REQUIRED_CHECK]}],
            required_pull_request_reviews=[reviews(self._args.github)],
            opts=self._child,
        )


def reviews(repository: GitHubSettings) -> dict[str, bool | int]:
    """Return what ``main`` asks of reviews; nobody approves a pull request of their own, so a team of one needs none.

    A release of theirs needs their review all the same: the workflow wrote it, and ``mlops github approve`` looks.
    """
    several = not repository.alone
    return {
        "require_code_owner_reviews": several,
        "required_approving_review_count": int(several),
        "dismiss_stale_reviews": True,
        "require_last_push_approval": several,
    }


def offered(repository: GitHubSettings) -> dict[str, str]:
    """Return the variables that tell workflows what the repository's plan has; docs/github.md has the table."""
    public, enterprise = not repository.private, repository.plan is GitHubPlan.ENTERPRISE
    return {
        "CODE_SCANNING": str(public or repository.code_security).lower(),
        "ATTESTATIONS": str(public or enterprise).lower(),
    }


def not_enforced(repository: GitHubSettings) -> tuple[str, ...]:
    """Return what the repository's plan leaves to the team, a line each; docs/github.md has the table and sources."""
    if not repository.private or repository.plan is GitHubPlan.ENTERPRISE:
        return ()
    return (
        "required reviewers of an environment: the reviewed merge of releases/ is the only approval",
        "attestations of images: the delivery signs with the key in KMS alone",
    )
