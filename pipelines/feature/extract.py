"""Steps 8 and 9: connect to the raw data and extract it, in the types of the data contract."""

import pyarrow as pa

from pipelines.config import Problem, RawTable, Source, UserError
from pipelines.feature import FeatureParams
from pipelines.storage.tables import ARROW_TYPES


def extract(params: FeatureParams, problem: Problem, source: Source) -> dict[str, pa.Table]:
    """Read the declared columns of every raw table of the problem for the given days.

    Raises:
        UserError: when a value cannot be read as the type of its column.
    """
    return {
        name: typed(name, source(name, params.start, params.end), contract)
        for name, contract in problem.config.tables.items()
    }


def typed(name: str, rows: pa.Table, contract: RawTable) -> pa.Table:
    """Return the declared columns that a table has, in their declared types.

    Raises:
        UserError: when a value cannot be read as its type.
    """
    columns = {}
    for column in (column for column in contract.columns if column in rows.column_names):
        try:
            columns[column] = rows[column].cast(ARROW_TYPES[contract.columns[column].type])
        except pa.ArrowInvalid as error:
            raise UserError(f"table {name}, column {column}: {error}") from error
    return pa.table(columns)
