"""What ``cloud.toml`` states: what the infrastructure on AWS is made with."""

from pydantic import Field

from pipelines.spec.strict import Strict


class Cloud(Strict):
    """Where the environments run, and what they may cost together.

    Attributes:
        region: the code of the AWS region.
        monthly_budget: USD.
        environments: in the order of promotion; the first trains.
    """

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    monthly_budget: float = Field(gt=0)
    environments: tuple[str, ...] = Field(default=("dev", "staging", "prod"), min_length=1)
