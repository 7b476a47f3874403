from pathlib import Path

import pytest

from pipelines.config import Problem, ProblemConfig, UserError, parse_toml
from tests.conftest import PROBLEMS, ROOT

TEXT = (ROOT / "tests/problems/late/problem.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('event_time = "scanned_at"', 'event_time = "scaned_at"', "did you mean 'scanned_at'?"),
        ('table = "parcels"', 'table = "parcel"', "no table 'parcel'; did you mean 'parcels'?"),
        ('key = "parcel_id"', 'key = "depot"', "table 'deliveries' has no column 'depot' to join on"),
        ("miss = 3", "under = 3", "states exactly false_alarm and miss"),
        ("roc_auc = { min = 0.7 }", "rocauc = { min = 0.7 }", "did you mean 'roc_auc'?"),
        ("roc_auc = { min = 0.7 }", "roc_auc = {}", "a bound needs 'min', 'max' or both"),
        ('metric = "log_loss"', 'metric = "roc_auc"', "gates.champion_comparison.metric: 'roc_auc'"),
        ("performance = { bias", "performance = { rmse", "no metric 'rmse' for binary_classification"),
        ('name = "parcel-late"', 'name = "Parcel Late"', "String should match pattern"),
        ("steps = [0.5]", "steps = [1.5]", "canary.steps.0: Input should be less than 1"),
        ('estimators = ["baseline", "boosting"]', "estimators = []", "training.estimators"),
        ('queue = { type = "float", min = 0 }', 'queue = { type = "string", min = 0 }', "'min' and 'max' bound numbers, not a string"),
        ('queue = { type = "float", min = 0 }', 'queue = { type = "float", min = 2, max = 1 }', "'min' 2 is above 'max' 1"),
        ('queue = { type = "float", min = 0 }', 'queue = { type = "float", min = nan }', "nan is no bound; leave it out"),
        ('queue = { type = "float", min = 0 }', 'queue = { type = "float", values = ["1"] }', "'values' lists the texts of a string column"),
        ('queue = { type = "float", min = 0 }', 'queue = { type = "integer", min = 1e300 }', "an integer lies within"),
        ('scanned_at = { type = "timestamp" }', 'scanned_at = { type = "string" }', "tables.scans.event_time: 'scanned_at' says to which day"),
        ('scanned_at = { type = "timestamp" }', 'scanned_at = { type = "timestamp", nullable = true }', "a timestamp that is not nullable"),
        ('weight = { type', 'label = { type', "tables.parcels: the column 'label' has a name that the engine uses"),
        ('weight = { type', 'known_at = { type', "tables.parcels: the column 'known_at' has a name that the engine uses"),
        ('parcel_id = { type = "string", unique = true }', 'parcel_id = { type = "string", nullable = true }', "not personal, not nullable"),
        ("[tables.scans]", '[tables."scans; DROP TABLE"]', "String should match pattern"),
    ],
)  # fmt: skip
def test_a_statement_that_cannot_be_meant_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(UserError) as error:
        parse_toml(TEXT.replace(old, new), ProblemConfig, "problem.toml")
    assert message in str(error.value)


@pytest.mark.parametrize("package", PROBLEMS)
def test_a_problem_knows_its_features_in_order(package):
    features = Problem.load(package).features
    assert list(features) == ["depot", "weight", "hour", "queue_now", "queue_mean", "queue_scans"]


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"no problem package 'tests.problems.gone'"):
        Problem.load("tests.problems.gone")


def _problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: str, config: str = TEXT) -> Problem:
    folder = tmp_path / "made_problem"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "problem.toml").write_text(config)
    (folder / "features.py").write_text(features)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "made_problem.features", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "made_problem", raising=False)
    return Problem.load("made_problem")


VIEW = """
from datetime import timedelta
from pipelines.config import NUMERIC, FeatureView, RequestFeatures
VIEWS = (FeatureView(name="v", description="", entity=({entity!r},), table={table!r}, features={{{name!r}: NUMERIC}},
    every=timedelta(hours=1), ttl=timedelta(hours=1), sql="SELECT 1"),)
REQUEST_FEATURES = RequestFeatures(features={{"weight": NUMERIC}}, compute=lambda request: request)
"""


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"entity": "city", "table": "scans", "name": "a"}, "a request has no field 'city'"),
        ({"entity": "depot", "table": "scan", "name": "a"}, "reads no table 'scan'"),
        ({"entity": "depot", "table": "scans", "name": "weight"}, "both define the feature 'weight'"),
    ],
)
def test_a_view_that_does_not_fit_the_statement_is_refused(tmp_path, monkeypatch, view, message):
    problem = _problem(tmp_path, monkeypatch, VIEW.format(**view))
    with pytest.raises(UserError, match=message):
        _ = problem.features


def test_a_personal_field_cannot_be_a_feature(tmp_path, monkeypatch):
    features = VIEW.format(entity="depot", table="scans", name="a").replace('{"weight"', '{"recipient"')
    problem = _problem(tmp_path, monkeypatch, features)
    with pytest.raises(UserError, match="'recipient' is personal"):
        _ = problem.features


def test_a_part_that_is_missing_is_named(tmp_path, monkeypatch):
    problem = _problem(tmp_path, monkeypatch, "REQUEST_FEATURES = None")
    with pytest.raises(UserError, match=r"made_problem/features.py must define VIEWS"):
        _ = problem.views
