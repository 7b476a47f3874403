"""The limits of values: what a request may carry is what a table may hold, so both refuse the same."""

from datetime import UTC, datetime

INTEGER_LIMIT = 2**53
"""Numbers become float64, which holds every whole number up to this one."""

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""A time in UTC before the first year or after the last one is none to predict for; sentinels lie outside."""

EARLIEST, LATEST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

FLOAT_LIMIT = 3.4028234663852886e38
"""The largest float32, which is what a model takes; NaN and infinity lie outside any limits."""
