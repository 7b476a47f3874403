"""Tables whose files were copied elsewhere are taken over with all their snapshots."""

import shutil
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from pipelines.storage import relocation
from pipelines.storage.relocation import adopt
from pipelines.storage.tables import TIMESTAMP, Tables

START = datetime(2024, 1, 1, tzinfo=UTC)


def catalog(folder, name="catalog"):
    folder.mkdir(exist_ok=True)
    return load_catalog(
        "default", type="sql", uri=f"sqlite:///{folder}/{name}.db", warehouse=(folder / "lake").as_uri()
    )


def fill(tables, commits=11):
    """Write days one after the other, some of them twice, with one snapshot pinned; return what each snapshot holds."""
    snapshots = []
    for number in range(commits):
        day = START + timedelta(days=17 * (number % (commits - 3)))
        rows = pa.table({"at": pa.array([day, day + timedelta(hours=1)], TIMESTAMP), "value": [float(number), None]})
        snapshots.append(tables.overwrite("raw.sales", rows, "at", day, day + timedelta(days=1)))
    tables.pin({"raw.sales": snapshots[2]}, "v1")
    return {snapshot: tables.read("raw.sales", snapshot=snapshot).to_pylist() for snapshot in snapshots}


@pytest.fixture
def moved(tmp_path):
    """A folder into which a lake was copied whose original is gone, and what each snapshot of its table held."""
    old, new = tmp_path / "old_place", tmp_path / "new"
    held = fill(Tables(lambda: catalog(old)))
    new.mkdir()
    shutil.move(old / "lake", new / "lake")
    return new, held


def assert_holds(tables, held):
    assert tables.snapshot("raw.sales") == [*held][-1]
    assert {snapshot: tables.read("raw.sales", snapshot=snapshot).to_pylist() for snapshot in held} == held
    assert set(tables._table("raw.sales").refs()) == {"main", "v1"}


def test_every_snapshot_of_a_moved_table_is_as_before(moved):
    new, held = moved
    tables = Tables(lambda: catalog(new))
    assert tables.adopt() == ["raw.sales"]
    assert_holds(tables, held)
    assert all(str(new) in address for address in tables.files("raw.sales"))
    assert tables.adopt() == []
    rows = pa.table({"at": pa.array([START], TIMESTAMP), "value": [9.0]})
    tables.overwrite("raw.sales", rows, "at", START, START + timedelta(days=1000))
    assert tables.read("raw.sales").num_rows == 1


def test_a_copied_table_no_longer_needs_the_original(tmp_path):
    old = catalog(tmp_path / "old")
    held = fill(Tables(lambda: old))
    shutil.copytree(tmp_path / "old" / "lake", tmp_path / "new" / "lake")
    tables = Tables(lambda: catalog(tmp_path / "new"))
    tables.adopt()
    assert_holds(Tables(lambda: old), held)
    shutil.rmtree(tmp_path / "old")
    assert_holds(tables, held)


def test_a_lost_catalog_is_rebuilt_without_a_change_of_files(tmp_path):
    held = fill(Tables(lambda: catalog(tmp_path)))
    before = {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    tables = Tables(lambda: catalog(tmp_path, "another"))
    assert tables.adopt() == ["raw.sales"]
    assert_holds(tables, held)
    assert before == {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*") if path.is_file()}


def test_a_catalog_that_points_to_the_old_place_is_corrected(tmp_path):
    held = fill(Tables(lambda: catalog(tmp_path)))
    (tmp_path / "lake").rename(tmp_path / "elsewhere")
    (tmp_path / "moved").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "moved" / "lake")
    shutil.copy(tmp_path / "catalog.db", tmp_path / "moved" / "catalog.db")
    tables = Tables(lambda: catalog(tmp_path / "moved"))
    assert tables.adopt() == ["raw.sales"]
    assert_holds(tables, held)


def test_a_killed_takeover_is_finished_by_the_next(moved, monkeypatch):
    new, held = moved
    real, left = relocation._write, iter(())

    def write(*given):
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(relocation, "_write", write)
    for writes in range(40):
        left = iter(range(writes))
        try:
            adopt(catalog(new), "")
        except KeyboardInterrupt:
            continue
        break
    assert 10 < writes < 40, "it was killed at each write"
    assert_holds(Tables(lambda: catalog(new)), held)


def test_namespaces_get_the_prefix_of_their_new_catalog(moved):
    new, held = moved
    (new / "lake" / "raw").rename(new / "lake" / "shop_dev_raw.db")
    tables = Tables(lambda: catalog(new), "shop_prod_")
    assert tables.adopt() == ["raw.sales"]
    assert tables.address("raw.sales") == ("shop_prod_raw", "sales")
    assert_holds(tables, held)


def test_an_empty_warehouse_has_nothing_to_take_over(tmp_path):
    assert adopt(catalog(tmp_path), "") == []
