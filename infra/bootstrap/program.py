"""The program: everything that an account needs before it can hold the stack of an environment."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.bootstrap.github import GitHubSide, GitHubSideArgs, not_enforced
from infra.bootstrap.images import ImageRepository, ImagesArgs
from infra.bootstrap.people import People, PeopleArgs
from infra.bootstrap.scope import Home, Scope
from infra.bootstrap.settings import BootstrapSettings
from infra.bootstrap.state import StateArgs, StateBackend
from infra.bootstrap.workflows import Workflows, WorkflowsArgs
from pipelines.config.errors import UserError
from pipelines.config.strict import load_toml
from pipelines.contracts import Cloud
from pipelines.contracts.setup import setup_parameter

ROOT = Path(__file__).parents[2]


def bootstrap(settings: BootstrapSettings, home: Home) -> dict[str, pulumi.Output[str]]:
    """Register the account's resources; return what the stack exports."""
    scopes = tuple(home.scope(environment) for environment in settings.environments)
    provider = aws.Provider(
        "aws",
        region=home.region,
        allowed_account_ids=[settings.account],
        default_tags={"tags": {"project": home.project, "stack": f"{home.project}-bootstrap", "managed-by": "pulumi"}},
    )
    opts = pulumi.ResourceOptions(providers={"aws": provider})
    state = StateBackend(StateArgs(home=home), opts)
    images = ImageRepository(ImagesArgs(home=home, readers=settings.image_readers), opts)
    workflows = Workflows(WorkflowsArgs(github=settings.github, scopes=scopes, protected=settings.protected), opts)
    people = People(PeopleArgs(home=home, scopes=scopes, settings=settings), opts)
    github = _tell_github(settings, home, scopes, state, workflows)
    parts = pulumi.ResourceOptions(provider=provider, depends_on=[state, images, workflows, people, github])
    _publish(home, scopes, state, images, workflows, parts)
    for line in not_enforced(settings.github):
        pulumi.log.warn(f"GitHub does not enforce {line}")
    return {"state": backend(home, state), "secrets": secrets(home, state), "images": images.url}


def backend(home: Home, state: StateBackend) -> pulumi.Output[str]:
    """Return the address of the state, as ``pulumi login`` takes it."""
    return pulumi.Output.concat("s3://", state.bucket, f"?region={home.region}")


def secrets(home: Home, state: StateBackend) -> pulumi.Output[str]:
    """Return the provider of secrets, as ``pulumi stack init --secrets-provider`` takes it."""
    return pulumi.Output.concat("awskms://", state.alias, f"?region={home.region}")


def read_home(settings: BootstrapSettings, root: Path = ROOT) -> Home:
    """Return the project in its account: its name from ``pyproject.toml``, the region from ``cloud.toml``.

    Raises:
        UserError: for a region outside of AWS's public partition, and for names that reach into another project's.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    region = load_toml(root / "cloud.toml", Cloud).region
    if region.startswith(("cn-", "us-gov-")):
        raise UserError(f"cloud.toml: region: {region} is in another partition of AWS, which is not supported")
    home = Home(project, settings.account, region)
    for environment in settings.environments:
        home.scope(environment)
    return home


def _publish(
    home: Home,
    scopes: tuple[Scope, ...],
    state: StateBackend,
    images: ImageRepository,
    workflows: Workflows,
    parts: pulumi.ResourceOptions,
) -> None:
    """Write :class:`pipelines.contracts.setup.Setup` where stacks and the doctor look for it.

    It depends on all parts and is protected, which refuses the destruction of the account's set-up before any part is
    gone: :func:`infra.aws.document.write` says how.
    """
    environments: Mapping[str, object] = {
        scope.environment: {
            "deploy": workflows.deploy[scope.environment],
            "plan": workflows.plan[scope.environment],
            "boundary": scope.boundary,
        }
        for scope in scopes
    }
    document = {
        "project": home.project,
        "account": home.account,
        "region": home.region,
        "state": backend(home, state),
        "secrets": secrets(home, state),
        "images": images.url,
        "environments": environments,
    }
    aws.ssm.Parameter(
        "bootstrap",
        name=setup_parameter(home.project),
        type="String",
        value=pulumi.Output.json_dumps(document, sort_keys=True),
        opts=pulumi.ResourceOptions.merge(parts, pulumi.ResourceOptions(protect=True)),
    )


def _tell_github(
    settings: BootstrapSettings, home: Home, scopes: tuple[Scope, ...], state: StateBackend, workflows: Workflows
) -> GitHubSide:
    """Set up the repository, with the variables that give workflows and plans of pull requests their roles."""
    cloud = load_toml(ROOT / "cloud.toml", Cloud)
    common: dict[str, pulumi.Input[str]] = {"AWS_REGION": home.region, "PULUMI_BACKEND_URL": backend(home, state)}
    shared: dict[str, pulumi.Input[str]] = {}
    if settings.is_first:
        shared |= {"ENVIRONMENTS": json.dumps(cloud.environments), "TRAINS": settings.trains}
        if settings.scheduled:
            shared["SCHEDULES"] = json.dumps(settings.scheduled)
    for scope in scopes:
        suffix = scope.environment.upper()
        shared[f"AWS_PLAN_ROLE_{suffix}"] = workflows.plan[scope.environment]
        shared[f"AWS_CLOCK_ROLE_{suffix}"] = workflows.clock[scope.environment]
        shared |= {f"{name}_{suffix}": value for name, value in common.items()}
    return GitHubSide(
        GitHubSideArgs(
            github=settings.github,
            environments=settings.environments,
            protected=settings.protected,
            variables={
                name: {**common, "AWS_ROLE": role, "RATCHET_PROFILE": "aws", "RATCHET_ENVIRONMENT": name}
                for name, role in workflows.deploy.items()
            },
            shared=shared,
            labels=tomllib.loads((ROOT / ".github/labels.toml").read_text(encoding="utf-8")),
            is_first=settings.is_first,
        )
    )
