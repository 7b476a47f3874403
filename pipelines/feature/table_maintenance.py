"""Table maintenance, a pipeline of one step on a schedule: compacts small files and deletes unreferenced ones."""

import logging
from collections.abc import Callable

from pipelines.config import Problem, StrictModel, UserError
from pipelines.orchestration.pipeline import Pipeline
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)

TableMaintenance = Callable[[str], None] | None
"""Compacts a table and deletes files that no kept snapshot needs; None where a profile does not do this."""


class MaintenanceParams(StrictModel):
    """The pipeline takes no parameters."""


class Maintained(StrictModel):
    """The tables that were maintained."""

    tables: tuple[str, ...]


def maintain(problem: Problem, tables: Tables, table_maintenance: TableMaintenance) -> Maintained:
    """Compact and clean every table of the problem that exists.

    Raises:
        UserError: on a profile without table maintenance.
    """
    if table_maintenance is None:
        raise UserError("tables in files have no maintenance; on AWS this pipeline lets Athena compact and clean them")
    raw = [f"raw.{name}" for name in problem.config.tables]
    names = [*raw, *(f"features.{view.versioned_name}" for view in problem.views)]
    there = tuple(name for name in names if tables.snapshot(name) is not None)
    for name in there:
        table_maintenance(name)
        log.info("maintained table=%s", name)
    return Maintained(tables=there)


PIPELINE = Pipeline("maintenance", MaintenanceParams, maintained=maintain)
