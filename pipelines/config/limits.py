"""The limits of values: what a request may carry is what a table may hold, so both refuse the same."""

INTEGER_LIMIT = 2**53
"""Numbers become float64, which holds every whole number up to this one."""

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""A time before the first year or from the last one on is none to predict for; sentinels lie outside."""
