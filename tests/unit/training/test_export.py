import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import CATEGORICAL, NUMERIC, Problem, UserError
from pipelines.feature.request import as_input
from pipelines.registry.scoring import Scorer
from pipelines.training.export import to_onnx
from pipelines.training.train import predict
from tests.conftest import PROBLEMS

RANDOM = np.random.default_rng(4)
FEATURES = {"depot": CATEGORICAL, "weight": NUMERIC, "queue": NUMERIC}
X = pd.DataFrame(
    {
        "depot": RANDOM.choice(np.array(["a", "b", "c", ""], dtype=object), 800),
        "weight": RANDOM.normal(0, 1, 800).astype(np.float32),
        "queue": np.where(RANDOM.random(800) < 0.2, np.nan, RANDOM.normal(0, 1, 800)).astype(np.float32),
    }
)
SIGNAL = X["weight"] + X["queue"].fillna(2) + (X["depot"] == "a")


def fitted(package, name):
    problem = Problem.load(package)
    estimator = problem.estimators[name](FEATURES, 0)
    estimator.fit(X, (SIGNAL > 0.5).astype(float) if package == PROBLEMS[0] else SIGNAL)
    return problem, estimator


MODELS = {(package, name): fitted(package, name) for package in PROBLEMS for name in ("baseline", "boosting")}
SCORERS = {
    key: Scorer(to_onnx(estimator, FEATURES, problem.config.task), FEATURES)
    for key, (problem, estimator) in MODELS.items()
}

rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "", "never seen"]),
        st.floats(-100, 100, width=32),
        st.floats(-100, 100, width=32) | st.just(float("nan")),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("key", MODELS)
@settings(max_examples=40)
@given(rows)
def test_the_exported_model_predicts_what_the_estimator_predicts(key, rows):
    frame = pd.DataFrame(rows, columns=list(FEATURES)).astype({"weight": np.float32, "queue": np.float32})
    problem, estimator = MODELS[key]
    expected = predict(estimator, frame, problem.config.task)
    exported = SCORERS[key]({name: as_input(frame[name], kind) for name, kind in FEATURES.items()})
    assert exported.shape == (len(rows),)
    np.testing.assert_allclose(exported, expected, rtol=1e-5, atol=1e-5)


def test_the_same_estimator_gives_the_same_bytes_in_every_process():
    program = """
import hashlib
from tests.unit.training import test_export as t
for (package, name), (problem, estimator) in t.MODELS.items():
    print(package, name, hashlib.sha256(t.to_onnx(estimator, t.FEATURES, problem.config.task)).hexdigest())
"""
    environ = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run([sys.executable, "-c", program], env=environ, check=True, capture_output=True, text=True)
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(program, {})  # with the hash seed of this process
    assert told.stdout == here.getvalue()


def test_an_estimator_may_bring_its_own_export():
    problem, estimator = MODELS[PROBLEMS[0], "boosting"]

    class Own:
        def to_onnx(self, features):
            return to_onnx(estimator, features, problem.config.task)

    row = {name: as_input([X[name][0]], kind) for name, kind in FEATURES.items()}
    own = Scorer(to_onnx(Own(), FEATURES, problem.config.task), FEATURES)
    assert own(row) == SCORERS[PROBLEMS[0], "boosting"](row)


def test_what_is_not_a_model_is_reported():
    with pytest.raises(UserError, match="not a model that ONNX Runtime can load"):
        Scorer(b"pickle", FEATURES)


@pytest.mark.parametrize("package", PROBLEMS)
def test_thresholds_between_neighbouring_floats_split_as_the_estimator(package):
    problem = Problem.load(package)
    neighbours = np.arange(200, dtype=np.int32) + np.float32(1000).view(np.int32)
    dense = RANDOM.choice(neighbours.view(np.float32), 4000)
    frame = pd.DataFrame({"depot": "a", "weight": dense, "queue": dense})
    label = dense.view(np.int32) % 7
    estimator = problem.estimators["boosting"](FEATURES, 0)
    estimator.fit(frame, (label > 3).astype(float) if package == PROBLEMS[0] else label)
    expected = predict(estimator, frame, problem.config.task)
    assert np.ptp(expected) > 0.5, "the trees split between neighbours"
    onnx = to_onnx(estimator, FEATURES, problem.config.task)
    predicted = Scorer(onnx, FEATURES)({name: as_input(frame[name], kind) for name, kind in FEATURES.items()})
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


def test_a_model_that_wants_other_features_is_reported():
    problem, estimator = MODELS[PROBLEMS[0], "boosting"]
    onnx = to_onnx(estimator, FEATURES, problem.config.task)
    with pytest.raises(UserError, match="needs unknown features: queue"):
        Scorer(onnx, {"depot": CATEGORICAL, "weight": NUMERIC})
