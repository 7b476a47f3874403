"""``cloud.toml``: region, budget and environments of the infrastructure on AWS."""

from typing import Annotated

from pydantic import Field

from pipelines.config.errors import UserError, nearest
from pipelines.config.strict import StrictModel


class Cloud(StrictModel):
    """Where the environments run, and what they may cost together.

    Attributes:
        region: the code of the AWS region.
        monthly_budget: USD.
        environments: in the order of promotion; a model serves in one only after it was champion in the one before.
    """

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    monthly_budget: float = Field(gt=0)
    environments: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], ...] = Field(
        default=("dev", "prod"), min_length=1
    )

    def before(self, environment: str) -> str | None:
        """Return the environment that a model comes from; None for the first.

        Raises:
            UserError: for an environment that is not stated.
        """
        if environment not in self.environments:
            raise UserError(
                f"cloud.toml: environments has no {environment!r}; {nearest(environment, self.environments)}"
            )
        at = self.environments.index(environment)
        return self.environments[at - 1] if at else None
