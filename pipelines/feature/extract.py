"""Steps 8 and 9: connect to the raw data and extract it, in the types of the data contract."""

import pyarrow as pa

from pipelines.config import Problem, Source
from pipelines.feature import FeatureParams
from pipelines.feature.conversion import declared


def extract(params: FeatureParams, problem: Problem, source: Source) -> dict[str, pa.Table]:
    """Read the declared columns of every raw table of the problem for the given days; nothing for a readmission.

    Raises:
        DataError: when a value cannot be read as the type of its column.
    """
    if params.readmit:
        return {}
    return {
        name: declared(name, source(name, params.start, params.end), contract.columns)
        for name, contract in problem.config.tables.items()
    }
