"""An environment that learns from what another one ingested: read by that one's role, and never written."""

import pytest

from pipelines.contracts.stack import Lent
from pipelines.feature import FeatureParams
from pipelines.storage.ports import Unavailable
from tests.cloud.emulator import Fault, misbehave
from tests.conftest import HISTORY, NOW

pytestmark = pytest.mark.cloud

DAYS = FeatureParams(start=HISTORY, end=NOW)


@pytest.fixture
def lending(new_cloud, made):
    """Production with its history, and the environment that trains, of one project."""
    stack = made.stack("prod")
    prod = new_cloud(stack=stack)
    prod.run("feature", DAYS, "history")
    role = f"arn:aws:iam::{stack.account}:role/{stack.project}-prod-reader"
    own = made.stack().model_copy(update={"project": stack.project, "lent": Lent(environment="prod", role=role)})
    made.publish(own)
    return prod, new_cloud(stack=own)


def test_shared_raw_rows_lack_personal_values_and_features_are_recomputed(lending, monkeypatch):
    prod, dev = lending
    monkeypatch.setattr("tests.problems.parcels._tables", dict)  # there is no source to ask
    before = {name: prod.tables.snapshot(f"raw.{name}") for name in prod.problem.config.tables}
    dev.run("feature", DAYS, "history")
    for name, contract in prod.problem.config.tables.items():
        theirs, ours = prod.tables.read(f"raw.{name}"), dev.tables.read(f"raw.{name}")
        empty = {column for column, declared in contract.columns.items() if declared.personal and declared.nullable}
        kept = [column for column in theirs.column_names if column not in empty]
        order = [(column, "ascending") for column in kept]
        assert ours.select(kept).sort_by(order).equals(theirs.select(kept).sort_by(order))
        assert all(ours[column].null_count == ours.num_rows for column in empty)
    (view, *_) = dev.problem.views
    assert dev.tables.read(f"features.{view.versioned_name}").num_rows > 100
    assert {name: prod.tables.snapshot(f"raw.{name}") for name in before} == before


def test_a_role_that_does_not_trust_us_is_reported(lending, emulator):
    _, dev = lending
    misbehave(emulator, Fault("refuses", "POST /", code="AccessDenied", status=403))
    with pytest.raises(Unavailable, match="STS AssumeRole: this role may not"):
        _ = dev.changed({}).profile.shared_tables
