"""Step 10: check raw rows, in their declared types, against the data contract; refuse days that break it."""

import logging

import pyarrow as pa

from monitoring.data_quality import Violation, missing_columns, violations
from pipelines.config import Problem, RawTable, UserError
from pipelines.feature import Checked, FeatureParams
from pipelines.storage.tables import ARROW_TYPES

log = logging.getLogger(__name__)


def validate(params: FeatureParams, problem: Problem, raw: dict[str, pa.Table]) -> Checked:
    """Check the rows of every table against its contract, and return how many there are.

    Raises:
        UserError: listing every violation; then nothing of these days is written anywhere.
    """
    counts, found = {}, []
    for name, rows in raw.items():
        contract = problem.config.tables[name]
        broken = missing_columns(rows, contract)
        if not broken:
            broken = violations(typed(name, rows, contract), contract, params.start.date(), params.end.date())
        counts[name] = rows.num_rows
        found += [(name, violation) for violation in broken]
        log.info("validated table=%s rows=%d violations=%d", name, rows.num_rows, len(broken))
    if found:
        raise UserError(_refusal(params, found))
    return Checked(rows=counts)


def typed(name: str, rows: pa.Table, contract: RawTable) -> pa.Table:
    """Return the declared columns of a table in their declared types.

    Raises:
        UserError: when a value cannot be read as its type.
    """
    columns = {}
    for column, declared in contract.columns.items():
        try:
            columns[column] = rows[column].cast(ARROW_TYPES[declared.type])
        except pa.ArrowInvalid as error:
            raise UserError(f"table {name}, column {column}: {error}") from error
    return pa.table(columns)


def _refusal(params: FeatureParams, found: list[tuple[str, Violation]]) -> str:
    lines = [f"  {name}.{violation}" for name, violation in found]
    days = f"{params.start:%Y-%m-%d} to {params.end:%Y-%m-%d}"
    advice = "Nothing was written. Fix the source, or the contract in problem.toml if the change is intended."
    return "\n".join([f"The rows of {days} break the data contract:", *lines, advice])
