"""Steps 8 and 9: connect to the raw data and extract what arrived."""

import pyarrow as pa

from pipelines.feature import FeatureParams
from pipelines.spec import Problem


def extract(params: FeatureParams, problem: Problem) -> dict[str, pa.Table]:
    """Read every raw table of the problem for the given days, as the source delivers it."""
    return {table: problem.read(table, params.start, params.end) for table in problem.statement.tables}
