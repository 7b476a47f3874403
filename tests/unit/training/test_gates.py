"""Each gate with a good candidate, which it lets pass, and with a planted bad one, which it refuses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.bootstrap import pipeline
from pipelines.config import Problem
from pipelines.feature.entity import entity_key
from pipelines.storage.ports import OnlineRow
from pipelines.storage.tables import TIMESTAMP
from pipelines.training import Evaluated, Pinned, Trained, TrainingParams, gates
from tests.conftest import NOW, PROBLEMS, learn
from tests.definitions import edited
from tests.problems.parcels import VIEWS

LATE = Problem.load(PROBLEMS[0]).config


def test_quality_within_its_bounds_passes():
    assert gates.absolute_quality(LATE, {"roc_auc": 0.71}).passed


@pytest.mark.parametrize("value", [0.69, float("nan")])
def test_quality_out_of_its_bounds_is_refused(value):
    result = gates.absolute_quality(LATE, {"roc_auc": value})
    assert not result.passed
    assert "roc_auc" in result.reason


def predictions(better_by: float, rows: int = 2000, champion: bool = True) -> pa.Table:
    random = np.random.default_rng(2)
    truth = random.uniform(0.05, 0.95, rows)
    columns = {
        "event_time": pa.array(
            [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=5 * n) for n in range(rows)], TIMESTAMP
        ),
        "label": pa.array((random.random(rows) < truth).astype(float)),
        "candidate": pa.array(truth),
    }
    return pa.table(
        columns
        | ({"champion": pa.array(np.clip(truth + random.normal(0, better_by, rows), 0.01, 0.99))} if champion else {})
    )


CHAMPION = "c" * 64


def test_a_better_candidate_beats_the_champion():
    result = gates.champion_comparison(LATE, CHAMPION, predictions(better_by=0.3))
    assert result.passed
    assert result.values["upper_95%"] < 0


@pytest.mark.parametrize("worse", ["equal", "worse"])
def test_a_candidate_that_is_not_shown_to_be_better_is_refused(worse):
    table = predictions(better_by=0.0 if worse == "equal" else 0.3)
    if worse == "worse":
        table = table.rename_columns({"candidate": "champion", "champion": "candidate"})
    result = gates.champion_comparison(LATE, CHAMPION, table)
    assert not result.passed
    assert "not shown to be better" in result.reason


def test_too_few_rows_to_compare_on_are_refused():
    assert "too few" in gates.champion_comparison(LATE, CHAMPION, predictions(0.3, rows=99)).reason


def test_the_first_candidate_has_nobody_to_beat():
    assert gates.champion_comparison(LATE, None, predictions(0.3, champion=False)).passed


def test_a_champion_that_cannot_be_asked_cannot_be_beaten_unseen():
    result = gates.champion_comparison(LATE, CHAMPION, predictions(0.3, champion=False), "its features import 'x'")
    assert not result.passed
    assert result.reason == "the champion cccccccccccc cannot be asked: its features import 'x'"


@pytest.fixture
def training(learned):
    """What the judge's step was given, and the gate's own resources."""
    runner, chosen = learned.runner, pipeline("training")
    trained: Trained = runner.output(chosen, "train", "first")
    evaluated: Evaluated = runner.output(chosen, "evaluate", "first")
    pinned: Pinned = runner.output(chosen, "pin", "first")
    return learned, trained, evaluated, pinned


def test_the_exported_model_agrees_with_its_estimator(training):
    _, trained, evaluated, _ = training
    assert gates.onnx_parity(LATE, trained.native, evaluated.predictions).passed


@pytest.mark.parametrize("tampered", [0.001, float("nan")])
def test_an_export_that_predicts_otherwise_is_refused(training, tampered):
    _, trained, evaluated, _ = training
    native = trained.native["prediction"].to_numpy().copy()
    native[3] += tampered
    assert not gates.onnx_parity(LATE, pa.table({"prediction": native}), evaluated.predictions).passed


def skew(platform, pinned):
    requests = gates.recent_requests(TrainingParams(as_of=NOW, reason=""), platform.problem, platform.tables, pinned)
    assert requests.num_rows == 20
    return gates.training_serving_skew(platform.problem, platform.tables, platform.online, requests)


def test_features_agree_online_and_offline(training):
    platform, _, _, pinned = training
    assert skew(platform, pinned).passed


def test_a_request_feature_that_differs_for_a_single_request_is_refused(training, tmp_path, monkeypatch):
    """The classic: a function that standardises by its batch."""
    platform, _, _, pinned = training
    monkeypatch.syspath_prepend(tmp_path)
    by_batch = ('"weight": request["weight"]', '"weight": request["weight"] - request["weight"].mean()')
    problem = Problem.load(edited(tmp_path, by_batch))
    requests = gates.recent_requests(TrainingParams(as_of=NOW, reason=""), problem, platform.tables, pinned)
    result = gates.training_serving_skew(problem, platform.tables, platform.online, requests)
    assert not result.passed
    assert result.reason.startswith("weight differs")


def test_definitions_that_do_not_travel_are_refused(training, tmp_path, monkeypatch):
    """Here: one that reads a file beside it, which the model's files do not have."""
    platform, _, _, pinned = training
    monkeypatch.syspath_prepend(tmp_path)
    name = edited(
        tmp_path, ("DEPOTS = (", "from pathlib import Path\nNOTES = Path(__file__ + '.txt').read_text()\nDEPOTS = (")
    )
    (tmp_path / name / "parcels.py.txt").write_text("notes")
    problem = Problem.load(name)
    requests = gates.recent_requests(TrainingParams(as_of=NOW, reason=""), problem, platform.tables, pinned)
    result = gates.training_serving_skew(problem, platform.tables, platform.online, requests)
    assert not result.passed
    assert "do not load here: FileNotFoundError" in result.reason


def test_online_values_that_are_not_the_offline_ones_are_refused(new_platform):
    platform = new_platform()
    learn(platform)
    view = VIEWS[0]
    pinned = platform.runner.output(pipeline("training"), "pin", "first")
    assert skew(platform, pinned).passed
    wrong = {
        (view.versioned_name, entity_key((depot,))): OnlineRow(NOW, (999.0,)) for depot in ("berlin", "lyon", "porto")
    }
    platform.online.write(wrong, {})
    result = skew(platform, pinned)
    assert not result.passed
    assert result.reason.startswith("queue_now differs for 100.0% of 20 requests")


def test_stores_that_move_while_they_are_compared_are_compared_again(training, monkeypatch):
    platform, _, _, pinned = training
    looks = iter([NOW - timedelta(hours=1)] * 2 + [NOW] * 10)
    monkeypatch.setattr(type(platform.online), "as_of", lambda *_: next(looks))
    assert skew(platform, pinned).passed
    assert len(list(looks)) <= 6, "two views were looked at before and after, and then once more"


def test_a_view_that_is_not_online_is_refused(training):
    platform, _, _, _ = training
    problem = Problem(platform.problem.package, platform.problem.config)
    problem.__dict__["views"] = (replace(VIEWS[0], description="", ttl=timedelta(hours=5)), VIEWS[1])
    result = gates.training_serving_skew(problem, platform.tables, platform.online, pa.table({"x": [1]}))
    assert not result.passed
    assert "never materialised" in result.reason
