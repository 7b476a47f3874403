"""The upkeep of tables, as a pipeline of one step that the clock starts: small files made one, and old ones deleted."""

import logging
from collections.abc import Callable

from pipelines.config import Problem, StrictModel, UserError
from pipelines.orchestration.pipeline import Pipeline
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)

TableMaintenance = Callable[[str], None]
"""Compacts a table and deletes what no kept snapshot needs."""


class MaintenanceParams(StrictModel):
    """Nothing differs between two runs."""


class Maintained(StrictModel):
    """The tables that were looked after."""

    tables: tuple[str, ...]


def maintain(problem: Problem, tables: Tables, table_maintenance: TableMaintenance | None) -> Maintained:
    """Look after every table of the problem that is there.

    Raises:
        UserError: where nothing can.
    """
    if table_maintenance is None:
        raise UserError("tables in files are left as they are; on AWS this pipeline has Athena look after them")
    raw = [f"raw.{name}" for name in problem.config.tables]
    names = [*raw, *(f"features.{view.versioned_name}" for view in problem.views)]
    there = tuple(name for name in names if tables.snapshot(name) is not None)
    for name in there:
        table_maintenance(name)
        log.info("maintained table=%s", name)
    return Maintained(tables=there)


PIPELINE = Pipeline("maintenance", MaintenanceParams, maintained=maintain)
