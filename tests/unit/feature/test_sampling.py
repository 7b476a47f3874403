import pytest

from pipelines.feature import FeatureParams
from pipelines.feature.sampling import pull_sample
from tests.conftest import HISTORY, NOW


@pytest.fixture
def platforms(new_platform):
    source, target = new_platform(name="source"), new_platform(name="target")
    source.run("feature", FeatureParams(start=HISTORY, end=NOW), "history")
    return source, target


def test_a_sample_has_whole_labelled_requests_and_is_repeatable(platforms):
    source, target = platforms
    counts = pull_sample(source.problem, source.tables, target.tables, HISTORY, NOW, 0.2)
    again = pull_sample(source.problem, source.tables, target.tables, HISTORY, NOW, 0.2)
    assert counts == again
    parcels, deliveries = (target.tables.read(f"raw.{name}") for name in ("parcels", "deliveries"))
    every = source.tables.read("raw.parcels").num_rows
    assert 0.15 * every < parcels.num_rows < 0.25 * every
    assert set(deliveries["parcel_id"].to_pylist()) <= set(parcels["parcel_id"].to_pylist())
    assert target.tables.read("raw.scans").num_rows == source.tables.read("raw.scans").num_rows


def test_personal_values_stay_where_they_are(platforms):
    source, target = platforms
    pull_sample(source.problem, source.tables, target.tables, HISTORY, NOW, 1.0)
    assert target.tables.read("raw.parcels")["recipient"].null_count == source.tables.read("raw.parcels").num_rows
