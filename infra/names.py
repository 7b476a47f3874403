"""Names of all resources of an environment; each begins with the project and the environment.

So any number of environments can share an account, and permissions can be written before any resource exists.
"""

from dataclasses import dataclass

from pipelines.config.errors import UserError

ENVIRONMENTS = ("dev", "staging", "prod")
LONGEST = 36  # of project and environment together: a bucket's name has 63 characters, 13 of them the account's


@dataclass(frozen=True)
class Names:
    """The location of an environment, and the names of its parts."""

    project: str
    environment: str
    account: str
    region: str

    def __post_init__(self) -> None:
        if len(self.project) + len(self.environment) > LONGEST:
            raise UserError(
                f"{self.project!r} and {self.environment!r} have more than {LONGEST} characters together, which the"
                " names of buckets do not hold: shorten [project] name in pyproject.toml"
            )
        if (last := self.project.rpartition("-")[2]) in ENVIRONMENTS and "-" in self.project:
            raise UserError(
                f"the project {self.project!r} ends like the environment {last!r} of a project without that ending,"
                " whose permissions would reach into it: rename it in pyproject.toml"
            )

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return f"{self.project}-{self.environment}"

    def of(self, part: str) -> str:
        """Return the name of a part of the environment."""
        return f"{self.prefix}-{part}"

    def bucket(self, part: str) -> str:
        """Return the name of a bucket; it contains the account, because bucket names are global."""
        return f"{self.prefix}-{part}-{self.account}"

    @property
    def catalog(self) -> str:
        """What the Glue databases begin with: a dash would have to be quoted in every query."""
        return self.prefix.replace("-", "_")

    @property
    def metrics(self) -> str:
        """The CloudWatch namespace."""
        return f"{self.project}/{self.environment}"

    @property
    def registry(self) -> str:
        """The host of the account's image registry."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, part: str) -> str:
        """Return the ARN of a role of the environment."""
        return f"arn:aws:iam::{self.account}:role/{self.of(part)}"

    def policy_arn(self, part: str) -> str:
        """Return the ARN of a managed policy of the environment."""
        return f"arn:aws:iam::{self.account}:policy/{self.of(part)}"

    @property
    def boundary_arn(self) -> str:
        """ARN of the permissions boundary of every role; the bootstrap creates it, and no role here may change it."""
        return f"arn:aws:iam::{self.account}:policy/{self.project}-boundary-{self.environment}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of all resources, which permissions and bills refer to."""
        return {"project": self.project, "environment": self.environment, "stack": self.prefix}
