"""Step 10: check the extracted rows against the data contract; refuse days that break it."""

import logging
from collections.abc import Sequence

import pyarrow as pa

from monitoring.data_quality import Violation, missing_columns, violations
from pipelines.config import Problem, UserError
from pipelines.feature import Checked, FeatureParams

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
        broken = broken or violations(rows, contract, params.start.date(), params.end.date())
        counts[name] = rows.num_rows
        found += [(name, violation) for violation in broken]
        log.info("validated table=%s rows=%d violations=%d", name, rows.num_rows, len(broken))
    if found:
        raise UserError(refusal(params, found))
    return Checked(rows=counts)


def refusal(params: FeatureParams, found: Sequence[tuple[str, Violation]]) -> str:
    """Return what to say of days that break the contract, each violation with its table."""
    lines = [f"  {name}.{violation}" for name, violation in found]
    days = f"{params.start:%Y-%m-%d} to {params.end:%Y-%m-%d}"
    advice = "Nothing was written. Fix the source, or the contract in problem.toml if the change is intended."
    return "\n".join([f"The rows of {days} break the data contract:", *lines, advice])
