"""The upkeep of tables: those that are used are looked after, feature views that nobody uses are deleted."""

from pathlib import Path

from pipelines.entrypoints.launch import parameters
from pipelines.feature import FeatureParams
from pipelines.feature.table_maintenance import PIPELINE, Retired, maintain
from tests.conftest import HISTORY, NOW, make_platform
from tests.definitions import WIDER, edited

NONE = Retired(views=())


def test_every_table_that_is_there_is_looked_after(new_platform):
    platform, looked_after = new_platform(), []
    assert maintain(platform.problem, platform.tables, looked_after.append, NONE).tables == ()
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    done = maintain(platform.problem, platform.tables, looked_after.append, NONE)
    views = [f"features.{view.versioned_name}" for view in platform.problem.views]
    assert list(done.tables) == looked_after == [*(f"raw.{name}" for name in platform.problem.config.tables), *views]


def run(platform):
    platform.runner.start(PIPELINE, parameters(PIPELINE.params, [], NOW), run_id := f"m{platform.settings.problem}")
    platform.runner.run(PIPELINE, run_id)
    return platform.runner.output(PIPELINE, "retire", run_id).views


def test_where_nothing_looks_after_tables_they_stay_as_they_are(new_platform):
    assert run(new_platform()) == ()


def test_a_version_of_a_view_that_nobody_uses_is_deleted_with_its_files(new_platform, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    platform = new_platform()
    platform.run("feature", FeatureParams(start=HISTORY, end=NOW))
    (_, old) = platform.problem.views
    changed = make_platform(platform.home, edited(tmp_path, *WIDER))
    changed.run("feature", FeatureParams(start=HISTORY, end=NOW))
    files = platform.tables.files(f"features.{old.versioned_name}")
    assert run(changed) == (old.versioned_name,)
    assert not [file for file in files if Path(file.removeprefix("file://")).exists()]
    assert (
        platform.tables.snapshot(f"features.{old.versioned_name}") is platform.online.as_of(old.versioned_name) is None
    )
    assert changed.online.as_of(changed.problem.views[1].versioned_name) == NOW
    assert changed.tables.names("features") == sorted(
        f"features.{view.versioned_name}" for view in changed.problem.views
    )
    platform.run("feature", FeatureParams(start=NOW, end=NOW.replace(day=26)))
    rows = platform.tables.read(f"features.{old.versioned_name}")
    assert min(rows["event_time"].to_pylist()) < HISTORY.replace(day=2), "a version that returns has its history again"


def test_what_a_model_in_service_was_trained_on_stays(released, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = released.tables.names("features")
    assert run(make_platform(released.home, edited(tmp_path, *WIDER))) == ()
    assert released.tables.names("features") == before
