"""What the bootstrap set up in an account: the document that stacks and the doctor read."""

from pydantic import Field

from pipelines.config.strict import StrictModel


def setup_parameter(project: str) -> str:
    """Return the SSM parameter that holds the document, as JSON; an account has one for each project."""
    return f"/{project}/bootstrap"


class Identities(StrictModel):
    """The identities of an environment.

    Attributes:
        deploy: ARN of the role of its workflows.
        plan: ARN of the read-only role of pull requests.
        boundary: ARN of the policy that bounds every role of the environment.
    """

    deploy: str
    plan: str
    boundary: str


class Setup(StrictModel):
    """A project in an account.

    Attributes:
        project: its name.
        account: twelve digits.
        region: the code of the AWS region.
        state: the address of Pulumi's state, for ``pulumi login``.
        secrets: the provider of secrets in it, for ``pulumi stack init --secrets-provider``.
        images: the repository of container images.
        environments: that run in this account.
    """

    project: str
    account: str = Field(pattern=r"^\d{12}$")
    region: str
    state: str
    secrets: str
    images: str
    environments: dict[str, Identities]
