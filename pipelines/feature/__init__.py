"""The feature pipeline: raw rows in, point-in-time correct features out, offline and online.

extract → validate → ingest → engineer → materialise, for a span of days; run twice, it changes nothing.
"""

from datetime import UTC, time
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from pipelines.config import StrictModel


class Readmission(StrictModel):
    """Rows of a table's quarantine: all, or those of one run, or whose broken rules contain a text."""

    table: str
    rule: str | None = None
    run: str | None = None


class FeatureParams(StrictModel):
    """The days ``[start, end)`` to process, and how far to bring the online store (default: ``end``).

    ``known_at`` is from when corrections of days that were ingested before are known (default: the run's creation).
    With ``readmit`` the source is not asked: quarantined rows of these days that keep the contract now are ingested.
    """

    start: AwareDatetime
    end: AwareDatetime
    online_as_of: AwareDatetime | None = Field(default=None)
    known_at: AwareDatetime | None = Field(default=None)
    readmit: Readmission | None = Field(default=None)

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} is not before end {self.end:%Y-%m-%d}")
        if any(moment.astimezone(UTC).time() != time() for moment in (self.start, self.end)):
            raise ValueError("start and end: whole days are processed, so give midnights in UTC, such as 2024-03-01")
        return self


class Checked(StrictModel):
    """How many rows of each table were validated; more rows that break the contract than may fail the step."""

    rows: dict[str, int]


class Snapshots(StrictModel):
    """The data version after a step: each table's current Iceberg snapshot.

    ``changed_at`` is from when the changes of each table are known whose days had been ingested before. Of the rows of
    these days ``quarantined`` are in quarantine, by table, and ``readmitted`` left it.
    """

    snapshots: dict[str, int]
    changed_at: dict[str, AwareDatetime] = Field(default_factory=dict)
    quarantined: dict[str, int] = Field(default_factory=dict)
    readmitted: dict[str, int] = Field(default_factory=dict)
