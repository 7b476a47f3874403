"""Steps 8 and 9: connect to the raw data and extract it."""

import pyarrow as pa

from pipelines.config import Problem, Source
from pipelines.feature import FeatureParams


def extract(params: FeatureParams, problem: Problem, source: Source) -> dict[str, pa.Table]:
    """Read every raw table of the problem for the given days, as the source delivers it."""
    return {table: source(table, params.start, params.end) for table in problem.config.tables}
