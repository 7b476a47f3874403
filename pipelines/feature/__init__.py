"""The feature pipeline: raw rows in, point-in-time correct features out, offline and online.

extract → validate → ingest → engineer → materialise, for a span of days; run twice, it changes nothing.
"""

from pydantic import AwareDatetime, Field

from pipelines.spec import Strict


class FeatureParams(Strict):
    """The days ``[start, end)`` to process, and how far to bring the online store (default: ``end``)."""

    start: AwareDatetime
    end: AwareDatetime
    online_as_of: AwareDatetime | None = Field(default=None)


class Checked(Strict):
    """How many rows of each table kept the data contract: all of them, or there would be none of these."""

    rows: dict[str, int]


class Snapshots(Strict):
    """The data version after a step: each table's current Iceberg snapshot."""

    snapshots: dict[str, int]
