"""A backup of a home in use is one whole system."""

import threading
from datetime import timedelta

import pytest

from pipelines.adapters.local.backup import back_up
from pipelines.config import UserError
from pipelines.feature import FeatureParams
from pipelines.reporting.verification import verified
from tests.conftest import NOW, make_platform


def test_a_backup_holds_what_the_home_holds(released, tmp_path):
    back_up(released.settings.home, tmp_path / "backup")
    copy = make_platform(tmp_path / "backup")
    assert verified(copy) == verified(released) == {"transitions": 3, "models": 1, "tables": 5}
    (view, _) = released.problem.views
    assert copy.online.as_of(view.versioned_name) == released.online.as_of(view.versioned_name)


def test_a_backup_beside_writers_lacks_nothing_it_refers_to(released, tmp_path):
    home, stop, days = released.settings.home, threading.Event(), iter(range(1000))

    def work():
        writer = make_platform(home)
        while not stop.is_set():
            start = NOW + timedelta(days=next(days))
            writer.run("feature", FeatureParams(start=start, end=start + timedelta(days=1)), f"day-{start:%j}")

    writing, backups = threading.Thread(target=work), []
    writing.start()
    try:
        while len(backups) < 3 or days.__length_hint__() > 997:  # three days are written meanwhile
            backups.append(tmp_path / f"backup-{len(backups)}")
            back_up(home, backups[-1])
    finally:
        stop.set()
        writing.join()
    for folder in backups:
        assert verified(make_platform(folder))["transitions"] == 3


def test_a_backup_replaces_nothing(released, tmp_path):
    (tmp_path / "full").mkdir()
    with pytest.raises(UserError, match="exists or lies in the home itself"):
        back_up(released.settings.home, tmp_path / "full")
    with pytest.raises(UserError, match="exists or lies in the home itself"):
        back_up(released.settings.home, released.settings.home / "copy")
    with pytest.raises(UserError, match="nothing to back up"):
        back_up(tmp_path / "none", tmp_path / "copy")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("store/models/*/model.onnx", "lacks its model.onnx"),
        ("store/models/*/manifest.json", "has no model"),
        ("tables/raw/*/data/*/*.parquet", "cannot be read"),
    ],
)
def test_verification_finds_a_missing_file(released, pattern, said):
    next(iter(released.settings.home.glob(pattern))).unlink()
    with pytest.raises(UserError, match=said):
        verified(released)


def test_verification_finds_a_changed_transition(released):
    (entry, *_) = sorted((released.settings.home / "store" / "releases").rglob("*0001*"))
    entry.write_bytes(entry.read_bytes().replace(b"tester", b"taster"))
    with pytest.raises(UserError, match="tampered"):
        verified(released)
