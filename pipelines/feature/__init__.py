"""The feature pipeline: raw rows in, point-in-time correct features out, offline and online.

extract → validate → ingest → engineer → materialise, for a span of days; run twice, it changes nothing.
"""

from datetime import UTC, time
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from pipelines.config import StrictModel


class FeatureParams(StrictModel):
    """The days ``[start, end)`` to process, and how far to bring the online store (default: ``end``).

    ``known_at`` is from when corrections of days that were ingested before are known (default: the run's creation).
    """

    start: AwareDatetime
    end: AwareDatetime
    online_as_of: AwareDatetime | None = Field(default=None)
    known_at: AwareDatetime | None = Field(default=None)

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} is not before end {self.end:%Y-%m-%d}")
        if any(moment.astimezone(UTC).time() != time() for moment in (self.start, self.end)):
            raise ValueError("start and end: whole days are processed, so give midnights in UTC, such as 2024-03-01")
        return self


class Checked(StrictModel):
    """How many rows of each table were validated; a row that breaks the contract fails the step."""

    rows: dict[str, int]


class Snapshots(StrictModel):
    """The data version after a step: each table's current Iceberg snapshot.

    ``changed_at`` is from when the changes of each table are known whose days had been ingested before.
    """

    snapshots: dict[str, int]
    changed_at: dict[str, AwareDatetime] = Field(default_factory=dict)
