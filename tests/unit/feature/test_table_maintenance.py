"""The upkeep of tables: every table that is there, where something looks after them."""

import pytest

from pipelines.config import UserError
from pipelines.entrypoints.launch import parameters
from pipelines.feature import FeatureParams
from pipelines.feature.table_maintenance import PIPELINE, maintain
from tests.conftest import HISTORY, NOW


def test_every_table_that_is_there_is_looked_after(new_platform):
    platform, looked_after = new_platform(), []
    assert maintain(platform.problem, platform.tables, looked_after.append).tables == ()
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    done = maintain(platform.problem, platform.tables, looked_after.append)
    views = [f"features.{view.versioned_name}" for view in platform.problem.views]
    assert list(done.tables) == looked_after == [*(f"raw.{name}" for name in platform.problem.config.tables), *views]


def test_where_nothing_looks_after_tables_it_is_reported(new_platform):
    platform = new_platform()
    platform.runner.start(PIPELINE, parameters(PIPELINE.params, [], NOW), "m")
    with pytest.raises(UserError, match="tables in files have no maintenance"):
        platform.runner.run(PIPELINE, "m")
