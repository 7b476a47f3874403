"""Which definitions are in use, and that all of them are kept fresh side by side."""

from datetime import timedelta
from hashlib import sha256

import pytest

from pipelines.config import AllAtOnce, CanaryStrategy, Variant
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, roll_back, start
from pipelines.feature import FeatureParams
from pipelines.registry.definitions import TODAY, in_use, names_in_use, pinned
from tests.conftest import NOW, make_platform
from tests.definitions import WIDER, edited

DAY, KEEP = timedelta(days=1), timedelta(days=30)


@pytest.fixture
def changed(released, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return lambda *changes: make_platform(released.home, edited(tmp_path, *changes))


def other(platform, number, **update):
    """A version that differs from the first in its manifest alone."""
    first = platform.models.versions()[1]
    manifest = platform.models.manifest(first)
    files = {name: platform.models.file(first, name) for name in manifest.files}
    made = manifest.model_copy(update={"reason": f"number {number}", "champion_model": first, **update})
    digest, version = platform.models.put(made, files)
    return Variant(model=digest, version=version)


def propose_it(platform, variant, at, how=None):
    file = propose_model(platform.models, platform.releases.state(), variant, how or AllAtOnce(), "a test")
    propose(platform.release_target, Actor("tester", at), file)
    return file


def released_at(platform, variant, at, how=None):
    file = propose_it(platform, variant, at, how)
    approve(platform.release_target, Actor("tester", at), file)
    platform.online.write({}, {view.versioned_name: at for view in platform.problem.views})
    start(platform.release_target, Actor("tester", at), file)


def versions(found):
    return {variant.version: why for variant, why in found.items()}


def test_what_serves_is_proposed_or_may_return_is_pinned(released):
    two, three, four, five = (other(released, number) for number in (2, 3, 4, 5))
    log = released.releases
    assert versions(pinned(log, KEEP, NOW)) == {1: "champion"}
    propose_it(released, two, NOW)
    assert versions(pinned(log, KEEP, NOW)) == {1: "champion", 2: "proposed"}
    released_at(released, two, NOW + DAY)
    released_at(released, three, NOW + 40 * DAY)
    ended = {1: f"champion until {NOW + DAY:%Y-%m-%d}", 2: f"champion until {NOW + 40 * DAY:%Y-%m-%d}"}
    assert versions(pinned(log, KEEP, NOW + 31 * DAY)) == {3: "champion", **ended}
    assert versions(pinned(log, KEEP, NOW + 41 * DAY)) == {3: "champion", 2: ended[2]}
    assert versions(pinned(log, KEEP, NOW + 99 * DAY)) == {3: "champion", 2: ended[2]}, "a rollback brings it back"
    released_at(released, four, NOW + 41 * DAY, CanaryStrategy(steps=(0.5,), bake=DAY))
    assert versions(pinned(log, KEEP, NOW + 41 * DAY))[4] == "challenger"
    roll_back(released.release_target, Actor("tester", NOW + 42 * DAY), "worse")
    released_at(released, five, NOW + 43 * DAY)
    roll_back(released.release_target, Actor("tester", NOW + 44 * DAY), "worse", champion_out=True)
    assert versions(pinned(log, KEEP, NOW + 99 * DAY)) == {3: "champion", 2: ended[2]}, "what is quarantined is not"


def test_the_names_say_who_uses_each_version(changed):
    platform = changed(*WIDER)
    (queue, new) = platform.problem.views
    old = f"queue_trend_{platform.models.manifest(platform.models.versions()[1]).feature_versions.views['queue_trend']}"
    assert names_in_use(platform.problem, platform.models, platform.releases, NOW) == {
        queue.versioned_name: (TODAY, "v1 champion"),
        new.versioned_name: (TODAY,),
        old: ("v1 champion",),
    }


def test_old_and_new_versions_are_materialised_side_by_side(changed):
    """The new one from the first raw row on, because a model is trained on the history."""
    platform, end = changed(*WIDER), NOW + DAY
    used = in_use(platform.problem, platform.models, platform.releases, NOW)
    names = [name for name in used if name.startswith("queue_trend")]
    old, new = sorted(names, key=lambda name: TODAY in used[name].by)
    before = platform.tables.read(f"features.{old}").num_rows
    platform.run("feature", FeatureParams(start=NOW, end=end))
    assert platform.online.as_of(old) == platform.online.as_of(new) == end
    one, two = (platform.tables.read(f"features.{name}") for name in (old, new))
    assert one.num_rows > before
    assert one["event_time"].to_pylist() == two["event_time"].to_pylist() or one.num_rows == two.num_rows
    assert one["queue_scans"].to_pylist() != two["queue_scans"].to_pylist()
    keys = {(name, "berlin") for name in (old, new)}
    rows = platform.online.read(keys)
    assert {rows[key].event_time for key in keys} == {max(row.event_time for row in rows.values())}
    assert rows[old, "berlin"].values != rows[new, "berlin"].values


def test_a_model_whose_features_fail_hinders_no_others(released, caplog):
    """Here: the function of its view fails on rows, which nobody can tell before there are any."""
    first = released.models.versions()[1]
    manifest, name = released.models.manifest(first), "features/tests/problems/parcels.py"
    files = {file: released.models.file(first, file) for file in manifest.files}
    files[name] = files[name].replace(b"return scans.rename(", b"assert scans.empty, 'full'\n    return scans.rename(")
    update = {
        "files": {file: sha256(data).hexdigest() for file, data in files.items()},
        "feature_versions": manifest.feature_versions.model_copy(
            update={"views": {**manifest.feature_versions.views, "queue": "failing0"}}
        ),
    }
    digest, version = released.models.put(manifest.model_copy(update=update), files)
    propose_it(released, Variant(model=digest, version=version), NOW)
    assert "queue_failing0" in in_use(released.problem, released.models, released.releases, NOW)
    released.run("feature", FeatureParams(start=NOW, end=NOW + DAY))
    assert all(released.online.as_of(view.versioned_name) == NOW + DAY for view in released.problem.views)
    assert released.online.as_of("queue_failing0") is None
    assert "not computed view=queue_failing0 for=v2 proposed reason=AssertionError: full" in caplog.text


def test_a_log_without_a_release_pins_nothing(new_platform):
    assert pinned(new_platform().releases, KEEP, NOW) == {}
