"""A search for settings, as ``problem.toml`` states it: what may vary, and what the search may cost."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.config.strict import StrictModel

Positive = Annotated[float, Field(gt=0)]


class Range(StrictModel):
    """Numbers from ``low`` to ``high``, both included; integers when both are.

    ``log`` searches the logarithm, which suits rates and sizes.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, not at {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Options(StrictModel):
    """One of some values."""

    values: tuple[str | int | float | bool, ...] = Field(min_length=2)


class Budget(StrictModel):
    """What a search may cost; it ends at the limit that it reaches first.

    ``minutes`` of wall time, each time it is started or resumed; ``money`` in the currency of ``[business]``, for the
    hours of all trials of all workers at ``price_per_hour``.
    """

    trials: int = Field(default=30, ge=1)
    minutes: Positive = 60.0
    money: Positive | None = None
    price_per_hour: Positive | None = None

    @model_validator(mode="after")
    def _price_is_known(self) -> Self:
        if self.money is not None and self.price_per_hour is None:
            raise ValueError("a budget of money needs the price_per_hour of a worker")
        return self

    @property
    def worker_seconds(self) -> float | None:
        """How many seconds all workers together may compute for the money, or None without such a limit."""
        if self.money is None or self.price_per_hour is None:
            return None
        return self.money / self.price_per_hour * 3600


Space = dict[str, Range | Options]
"""What may vary of an estimator's settings, by name."""
