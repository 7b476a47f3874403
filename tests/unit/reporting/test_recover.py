"""What was lost and can be made again is, as it was: the online store and MLflow."""

import shutil
from datetime import timedelta

import pytest

from pipelines.feature import FeatureParams
from pipelines.feature.entity import entity_key
from pipelines.feature.materialise import materialised_until, restore
from pipelines.storage.ports import Unavailable
from pipelines.training.index import index
from tests.conftest import HISTORY, NOW, make_platform
from tests.unit.registry.test_release_log import Counting


def online(platform):
    """Return everything that is online: rows by view and entity, and how far each view is complete."""
    keys = set()
    for view in platform.problem.views:
        rows = platform.tables.read(f"features.{view.versioned_name}")
        entities = zip(*(rows[column].to_pylist() for column in view.entity), strict=True)
        keys |= {(view.versioned_name, entity_key(entity)) for entity in entities}
    return platform.online.read(keys), [platform.online.as_of(view.versioned_name) for view in platform.problem.views]


def versions(platform):
    return {version.tags["model"] for version in platform.tracking._client.search_model_versions()}


def test_online_store_and_mlflow_are_rebuilt_from_tables_and_manifests(released):
    before, known = online(released), versions(released)
    assert all(before) and known
    for file in released.home.glob("online.db*"):
        file.unlink()
    shutil.rmtree(released.home / "mlflow")
    again = make_platform(released.home)
    until = materialised_until(again.objects)
    assert until == NOW
    with pytest.raises(Unavailable):
        online(again)
    for _ in range(2):
        assert sum(
            restore(again.problem, again.tables, again.online, again.models, again.releases, until).values()
        ) == len(before[0])
        index(again.models, again.tracking, anew=True)
    assert online(again) == before
    assert versions(again) == known


def test_a_recovery_to_an_earlier_moment_takes_nothing_newer_back(released):
    before = online(released)
    restore(
        released.problem, released.tables, released.online, released.models, released.releases, NOW - timedelta(days=7)
    )
    assert online(released) == before


def test_where_no_features_were_made_nothing_is_restored(new_platform):
    platform = new_platform()
    assert materialised_until(platform.objects) is None
    assert (
        restore(platform.problem, platform.tables, platform.online, platform.models, platform.releases, HISTORY) == {}
    )


def test_how_far_features_go_is_known_after_any_number_of_other_runs(new_platform):
    platform = new_platform()
    for day in (1, 0):
        start = HISTORY + timedelta(days=day)
        platform.run("feature", FeatureParams(start=start, end=start + timedelta(days=1)))
    for number in range(120):
        platform.runner.runs.create(f"failed{number}", "feature", {}, ("extract",))
    counted = Counting({key: platform.objects.read(key) for key in platform.objects.keys("")})
    assert materialised_until(counted) == HISTORY + timedelta(days=2)
    assert len(counted.asked) == 2


def test_the_command_says_what_it_needs(new_platform):
    from typer.testing import CliRunner

    from pipelines.config import UserError
    from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
    from pipelines.entrypoints.cli.app import app

    asked = CliRunner().invoke(app, ["--home", str(new_platform().home), "recover"])
    assert isinstance(asked.exception, UserError)
    with pytest.raises(UserError, match="give --as-of"):
        raise asked.exception
