"""Explanations: they add up, are exact where that can be checked, and say nothing of what a model ignores."""

import itertools
import json
import math
from datetime import timedelta

import numpy as np
import pytest

from monitoring.drift import Reference, describe
from pipelines.config import CATEGORICAL, NUMERIC
from pipelines.demo.plants import plant_failing_model
from pipelines.feature.decode import TooManyRows
from pipelines.registry.model_store import REFERENCE
from pipelines.serving.explain import baseline, explain
from pipelines.serving.service import PredictionService
from pipelines.settings import Settings
from pipelines.storage.prediction_log import LogWriter
from tests.conftest import NOW
from tests.problems import parcels
from tests.unit.serving.test_service import canary

NAMES = ["a", "b", "c", "depot"]
RANDOM = np.random.default_rng(3)
ROWS = {
    **{name: RANDOM.normal(0, 1, 5).astype(np.float32) for name in "abc"},
    "depot": np.array(["x", "y", "z", "x", ""], dtype=object),
}
START = {**{name: np.array([0.5], np.float32) for name in "abc"}, "depot": np.array(["y"], dtype=object)}
EFFECT = {"x": 1.0, "y": -2.0, "z": 4.0, "": 0.0}


def effect(rows):
    return np.array([EFFECT[depot] for depot in rows["depot"]])


def additive(rows):
    return 1 + 2 * rows["a"] - rows["b"] ** 2 + np.sin(rows["c"]) + effect(rows)


def interacting(rows):
    return rows["a"] * rows["b"] + np.where(rows["c"] > 0, effect(rows), 0) * rows["a"]


def exact(score, row):
    """Shapley's sum over all subsets."""
    found = dict.fromkeys(NAMES, 0.0)

    def value(chosen):
        return float(score({name: (ROWS[name][[row]] if name in chosen else START[name]) for name in NAMES})[0])

    for name in NAMES:
        others = [other for other in NAMES if other != name]
        for size in range(len(NAMES)):
            weight = math.factorial(size) * math.factorial(len(NAMES) - size - 1) / math.factorial(len(NAMES))
            for chosen in itertools.combinations(others, size):
                found[name] += weight * (value({*chosen, name}) - value(chosen))
    return found


@pytest.mark.parametrize("score", [additive, interacting])
def test_base_and_contributions_add_up_to_the_prediction(score):
    found = explain(score, ROWS, START, NAMES)
    np.testing.assert_allclose(found.base + sum(found.features.values()), score(ROWS), atol=1e-6)
    assert found.base == pytest.approx(float(score(START)[0]))


@pytest.mark.parametrize(("score", "tolerance"), [(additive, 1e-6), (interacting, 0.25)])
def test_contributions_equal_shapley_values_without_interactions(score, tolerance):
    found = explain(score, ROWS, START, NAMES)
    for row in range(5):
        for name, value in exact(score, row).items():
            assert found.features[name][row] == pytest.approx(value, abs=tolerance)


def test_the_score_is_asked_once_and_the_same_question_has_the_same_answer():
    calls = []

    def counted(rows):
        calls.append(len(rows["a"]))
        return interacting(rows)

    first, second = (explain(counted, ROWS, START, NAMES) for _ in range(2))
    assert first.of(2) == second.of(2)
    assert len(calls) == 2
    assert calls[0] <= 5 * 128 * (len(NAMES) + 1)


def test_the_baseline_is_the_median_and_the_most_frequent_category():
    columns = {
        "a": (np.array([1, 2, 2, 9, np.nan], np.float32), NUMERIC),
        "none": (np.array([np.nan] * 5, np.float32), NUMERIC),
        "depot": (np.array(["x", "y", "y", "", ""], dtype=object), CATEGORICAL),
        "never": (np.array([""] * 5, dtype=object), CATEGORICAL),
    }
    described = {name: describe(*column) for name, column in columns.items()}
    found = baseline(Reference(features=described, prediction=described["a"]))
    assert (found["a"].tolist(), found["depot"].tolist(), found["never"].tolist()) == ([2.0], ["y"], [""])
    assert np.isnan(found["none"][0])


def test_a_served_prediction_is_explained_by_the_variant_that_gave_it(learned):
    from tests.conftest import release

    release(learned, _candidate(learned))
    writer = LogWriter(learned.objects, "dev", 60, 10_000)
    service = PredictionService(
        learned.problem, learned.online, learned.models, learned.releases, writer, learned.settings
    )
    champion = learned.releases.state().champion
    model, version, _ = plant_failing_model(learned.models, champion.model, "weight")
    canary(learned, model, version)
    service.refresh()
    rows = parcels.read("parcels", NOW, NOW + timedelta(days=1)).slice(0, 20).to_pylist()
    rows += [{**rows[0], "weight": None}]
    body = json.dumps({"instances": rows[1:]}, default=lambda time: time.isoformat()).encode()
    answers = service.predict(body, explained=True)["predictions"]
    plain = [answer["prediction"] for answer in service.predict(body)["predictions"]]
    assert {answer["variant"] for answer in answers} == {"champion", "challenger"}
    for answer, prediction in zip(answers, plain, strict=True):
        told = answer["explanation"]
        assert told["base"] + sum(told["contributions"].values()) == pytest.approx(prediction, rel=1e-5, abs=1e-5)
        assert set(told["contributions"]) == set(service.release.served_champion.score.inputs)
    assert answers[0]["explanation"]["contributions"]["queue_now"] != 0
    with pytest.raises(TooManyRows, match="20 rows may be explained in one request"):
        service.predict(json.dumps({"instances": [*rows]}, default=lambda t: t.isoformat()).encode(), explained=True)
    reference = Reference.from_json(learned.models.file(champion.model, REFERENCE))
    assert reference.features["weight"].median == pytest.approx(6.7, abs=1)
    writer.close()
    assert Settings().max_explained_rows == 20


def _candidate(platform):
    from pipelines.training import Candidate

    version, model = next(iter(platform.models.versions().items()))
    return Candidate(model=model, version=version, accepted=True)
