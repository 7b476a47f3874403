"""The names and ARNs of what belongs to the account and to an environment."""

import hashlib
from dataclasses import dataclass

from infra.names import Names


def shortened(name: str, limit: int) -> str:
    """Return the name; shorten one that is too long to its beginning and four digits of its hash."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 5]}-{hashlib.sha256(name.encode()).hexdigest()[:4]}"


@dataclass(frozen=True)
class Home:
    """A project in an account.

    Attributes:
        project: its name.
        account: twelve digits.
        region: the code of the AWS region.
    """

    project: str
    account: str
    region: str

    @property
    def state_bucket(self) -> str:
        """The bucket of Pulumi's state."""
        return f"{self.project}-state-{self.account}"

    def scope(self, environment: str) -> "Scope":
        """Return what an environment owns."""
        return Scope(Names(self.project, environment, self.account, self.region), self)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        place = {"s3": ":", "iam": f":{self.account}", "budgets": f":{self.account}"}
        where = place.get(service, f"{self.region}:{self.account}")
        if resource.startswith("dashboard/"):
            where = f":{self.account}"
        return f"arn:aws:{service}:{where}:{resource}"


@dataclass(frozen=True)
class Scope:
    """The resources of one environment: all whose names begin with its name, or that have its tag.

    Attributes:
        names: of its resources.
        home: the account.
    """

    names: Names
    home: Home

    @property
    def environment(self) -> str:
        """Its name, such as dev."""
        return self.names.environment

    @property
    def tags(self) -> dict[str, str]:
        """The tag of what has no name of ours in its ARN."""
        return {"stack": self.names.prefix}

    @property
    def boundary(self) -> str:
        """ARN of the boundary that every role of the environment must have."""
        return self.names.boundary_arn

    def role(self, kind: str) -> str:
        """Return the name of a role or policy of the bootstrap: no name of an environment begins like it."""
        return f"{self.home.project}-{kind}-{self.environment}"

    def owned(self, service: str, *resources: str) -> list[str]:
        """Return ARNs of the environment's resources: ``{name}``, ``{path}`` and ``{table}`` stand for its name."""
        names = {"name": self.names.prefix, "path": self.names.metrics, "table": self.names.catalog}
        return [self.home.arn(service, resource.format(**names)) for resource in resources]

    def stored(self, *keys: str) -> list[str]:
        """Return ARNs of objects in the environment's buckets: of one key, or of all keys with a prefix."""
        below = (f"{key}*" if key.endswith("/") else key for key in keys)
        return self.owned("s3", *(f"{{name}}-*/{key}" for key in below))
