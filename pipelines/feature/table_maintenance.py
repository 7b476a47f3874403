"""The upkeep of tables, started by the clock: unused ones are dropped, small files made one, old files deleted."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pipelines.config import Problem, StrictModel
from pipelines.orchestration.pipeline import Pipeline
from pipelines.registry.definitions import names_in_use
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.storage.ports import OnlineStore
from pipelines.storage.tables import Tables

log = logging.getLogger(__name__)

TableMaintenance = Callable[[str], None]
"""Compacts a table and deletes files that no kept snapshot needs."""


class MaintenanceParams(StrictModel):
    """The pipeline takes no parameters."""


class Retired(StrictModel):
    """The versions of feature views that were deleted, by the names under which they were stored."""

    views: tuple[str, ...]


class Maintained(StrictModel):
    """The tables that were maintained."""

    tables: tuple[str, ...]


def retire(problem: Problem, tables: Tables, online: OnlineStore, models: ModelStore, releases: ReleaseLog) -> Retired:
    """Delete each version of a feature view that neither ``model/`` nor a model that may serve uses any more."""
    used = names_in_use(problem, models, releases, datetime.now(UTC))
    unused = [name for table in tables.names("features") if (name := table.removeprefix("features.")) not in used]
    for name in unused:
        online.forget(name)
        tables.drop(f"features.{name}")
        log.info("retired view=%s", name)
    return Retired(views=tuple(unused))


def maintain(
    problem: Problem, tables: Tables, table_maintenance: TableMaintenance | None, retired: Retired
) -> Maintained:
    """Look after every table that is there, where something can."""
    if table_maintenance is None:
        log.info("tables in files are left as they are")
        return Maintained(tables=())
    raw = [f"raw.{name}" for name in problem.config.tables]
    there = tuple(
        name
        for name in (*raw, *tables.names("features"), *tables.names("quarantine"))
        if tables.snapshot(name) is not None
    )
    assert not {f"features.{view}" for view in retired.views} & set(there), "what was retired is gone"
    for name in there:
        table_maintenance(name)
        log.info("maintained table=%s", name)
    return Maintained(tables=there)


PIPELINE = Pipeline("maintenance", MaintenanceParams, retired=retire, maintained=maintain)
