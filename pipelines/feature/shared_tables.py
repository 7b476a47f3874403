"""Reads raw rows from another environment's tables instead of the source, so that training can use production's."""

from datetime import datetime

import pyarrow as pa

from pipelines.config import Problem, RawTable, Source
from pipelines.feature import schema
from pipelines.storage.tables import Tables


def shared_source(problem: Problem, shared_tables: Tables) -> Source:
    """Return a source that reads the other environment's raw tables; nullable personal columns come as nulls."""

    def read(table: str, start: datetime, end: datetime) -> pa.Table:
        contract = problem.config.tables[table]
        rows = schema.read(shared_tables, table, contract, start=start, end=end)
        return without_personal(rows, contract)

    return read


def without_personal(rows: pa.Table, contract: RawTable) -> pa.Table:
    """Return a raw table's rows with nulls in the nullable personal columns."""
    for column, declared in contract.columns.items():
        if declared.personal and declared.nullable:
            place = rows.column_names.index(column)
            rows = rows.set_column(place, column, pa.nulls(rows.num_rows, rows.schema.field(column).type))
    return rows
