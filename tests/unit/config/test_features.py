from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines.config import CATEGORICAL, NUMERIC, FeatureView, UserError
from tests.problems.parcels import REQUEST_FEATURES, VIEWS

VIEW = FeatureView(
    name="queue",
    description="",
    entity=("depot",),
    table="scans",
    features={"queue": NUMERIC},
    every=timedelta(hours=1),
    ttl=timedelta(hours=2),
    sql="SELECT depot, queue FROM scans",
)


@pytest.mark.parametrize(
    "change",
    [
        {"sql": "SELECT depot, queue + 1 FROM scans"},
        {"ttl": timedelta(hours=3)},
        {"every": timedelta(hours=2)},
        {"delay": timedelta(minutes=1)},
        {"lookback": timedelta(hours=1)},
        {"features": {"queue": CATEGORICAL}},
        {"entity": ("city",)},
        {"name": "other"},
    ],
)
def test_the_version_changes_with_whatever_changes_the_values(change):
    assert replace(VIEW, **change).version != VIEW.version


def test_the_version_does_not_change_with_layout_or_words_about_the_view():
    assert replace(VIEW, sql="SELECT  depot,\n  queue\nFROM scans", description="clearer").version == VIEW.version


def test_a_python_view_and_the_request_features_have_versions_too():
    python, sql = VIEWS
    assert len({python.version, sql.version, REQUEST_FEATURES.version}) == 3


@pytest.mark.parametrize("change", [{"python": lambda rows: rows}, {"sql": None}, {"every": timedelta()}])
def test_a_view_that_cannot_be_computed_is_refused(change):
    with pytest.raises(UserError, match="feature view 'queue'"):
        replace(VIEW, **change)


def test_the_order_of_a_views_features_is_that_of_its_rows_in_the_stores():
    one, other = {"queue": NUMERIC, "trend": NUMERIC}, {"trend": NUMERIC, "queue": NUMERIC}
    assert replace(VIEW, features=one).version != replace(VIEW, features=other).version


def test_the_layout_case_and_comments_of_sql_mean_nothing():
    assert replace(VIEW, sql="select depot, queue -- now\nfrom scans").version == VIEW.version


def test_a_view_whose_function_has_no_text_is_told_which_it_is():
    bound = replace(VIEW, sql=None, python={}.get)
    with pytest.raises(UserError, match=r"feature view 'queue' has no version, because .* write a function"):
        _ = bound.version


def test_a_version_that_a_manifest_states_stands():
    assert replace(VIEW, pinned="0123abcd").versioned_name == "queue_0123abcd"
