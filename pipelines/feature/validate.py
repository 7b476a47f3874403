"""Step 10: check the extracted rows against the data contract; refuse days that break it beyond what is tolerated."""

import logging

import pyarrow as pa

from monitoring.data_quality import missing_columns, violations
from pipelines.config import Problem
from pipelines.feature import Checked, FeatureParams
from pipelines.feature.quarantine import refuse_beyond

log = logging.getLogger(__name__)


def validate(params: FeatureParams, problem: Problem, raw: dict[str, pa.Table]) -> Checked:
    """Check the rows of every table against its contract, and return how many there are.

    Raises:
        UserError: listing every violation, when more rows break the contract than go into quarantine; then nothing of
            these days is written anywhere.
    """
    counts, found = {}, {}
    for name, rows in raw.items():
        contract = problem.config.tables[name]
        broken = missing_columns(rows, contract)
        found[name] = broken or violations(rows, contract, params.start.date(), params.end.date())
        counts[name] = rows.num_rows
        log.info("validated table=%s rows=%d violations=%d", name, rows.num_rows, len(found[name]))
    refuse_beyond(params, problem, raw, found)
    return Checked(rows=counts)
