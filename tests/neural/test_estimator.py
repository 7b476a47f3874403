import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra torch is not installed; make test-torch runs these")

from monitoring.metrics import calibration_curve
from pipelines.config import CATEGORICAL, NUMERIC, Task, UserError
from pipelines.feature.request import as_input
from pipelines.neural import classifier, regressor
from pipelines.neural.calibrate import temperature
from pipelines.registry.scoring import Scorer
from pipelines.training import TrainingParams
from pipelines.training.export import to_onnx
from pipelines.training.train import predict
from tests.conftest import NOW, PROBLEMS, learn
from tests.neural.rows import FEATURES, SMALL, rows

X, QUANTITY = rows(3000)
EVENT = (np.median(QUANTITY) < QUANTITY).astype(float)
FORMS = {
    "piecewise": (classifier, {}),
    "periodic": (classifier, {"numbers": "periodic", "members": 3}),
    "regression": (regressor, {"blocks": 2}),
}
MODELS = {}


def model(form):
    if form not in MODELS:
        make, own = FORMS[form]
        fitted = make(FEATURES, 7, **{**SMALL, **own}).fit(X, EVENT if make is classifier else QUANTITY)
        MODELS[form] = fitted, Scorer(to_onnx(fitted, FEATURES, fitted.task), FEATURES)
    return MODELS[form]


cells = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "", "never seen"]),
        st.floats(-100, 100, width=32) | st.just(float("nan")),
        st.sampled_from(["x", "rare", "", "ÿ"]),
        st.floats(-(2.0**100), 2.0**100, width=32) | st.just(float("nan")),
        st.sampled_from([3.5, 0.0, float("nan")]),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(cells)
def test_the_exported_network_predicts_what_the_network_predicts(form, cells):
    frame = pd.DataFrame(cells, columns=list(FEATURES))
    frame = frame.astype({name: np.float32 for name, kind in FEATURES.items() if kind is NUMERIC})
    fitted, scorer = model(form)
    exported = scorer({name: as_input(frame[name], kind) for name, kind in FEATURES.items()})
    expected = predict(fitted, frame, fitted.task)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(exported, expected, rtol=1e-5, atol=1e-5)


def test_missing_values_and_new_categories_change_the_prediction():
    fitted, _ = model("piecewise")
    row = X[:1].assign(weight=np.float32(4.7), queue=np.float32(300), depot="a", kind="y")
    changed = [row.assign(queue=np.float32("nan")), row.assign(kind="new"), row.assign(depot="")]
    known, *others = (fitted.predict_proba(one)[0, 1] for one in (row, *changed))
    assert all(abs(other - known) > 0.01 for other in others)


def test_a_network_learns_what_a_constant_and_a_line_cannot():
    from sklearn.metrics import log_loss, roc_auc_score

    test_X, test_quantity = rows(3000, seed=1)
    event = test_quantity > np.median(QUANTITY)
    longer = classifier(FEATURES, 7, **{**SMALL, "epochs": 20, "bins": 8, "learning_rate": 0.01}).fit(X, EVENT)
    predicted = longer.predict_proba(test_X)[:, 1]
    assert roc_auc_score(event, predicted) > 0.95
    assert log_loss(event, predicted) < 0.3
    error = sum(count * abs(p - y) for p, y, count in calibration_curve(event, predicted)) / len(event)
    assert error < 0.04
    regression = regressor(FEATURES, 7, **{**SMALL, "epochs": 20, "bins": 8, "learning_rate": 0.01}).fit(X, QUANTITY)
    assert np.corrcoef(regression.predict(test_X), test_quantity)[0, 1] > 0.95
    assert abs(regression.predict(test_X).mean() - test_quantity.mean()) < 0.1


def test_the_temperature_undoes_an_overconfidence():
    random = np.random.default_rng(0)
    logits = random.normal(0, 1, 20_000)
    labels = random.random(20_000) < 1 / (1 + np.exp(-logits))
    assert temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert temperature(logits, labels) == pytest.approx(1, rel=0.05)


def test_equal_trainings_give_equal_bytes_and_another_seed_gives_others():
    first, second, other = (classifier(FEATURES, seed, **SMALL).fit(X, EVENT) for seed in (1, 1, 2))
    assert to_onnx(first, FEATURES, Task.BINARY) == to_onnx(second, FEATURES, Task.BINARY)
    assert to_onnx(first, FEATURES, Task.BINARY) != to_onnx(other, FEATURES, Task.BINARY)


@pytest.mark.parametrize("features", [{"weight": NUMERIC}, {"depot": CATEGORICAL}])
def test_columns_of_one_type_alone_are_enough(features):
    fitted = classifier(features, 7, **SMALL).fit(X, EVENT)
    scorer = Scorer(to_onnx(fitted, features, Task.BINARY), features)
    exported = scorer({name: as_input(X[name], kind) for name, kind in features.items()})
    np.testing.assert_allclose(exported, fitted.predict_proba(X)[:, 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("numbers", ["piecewise", "periodic"])
def test_a_column_without_a_single_value_does_no_harm(numbers):
    empty = X.assign(queue=np.float32("nan"), depot="")
    fitted = classifier(FEATURES, 7, **{**SMALL, "numbers": numbers}).fit(empty, EVENT)
    assert np.isfinite(fitted.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"wdith": 8}, "unknown key; .*width"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"numbers": "square"}, "'piecewise' or 'periodic'"),
        ({"batch_rows": 64, "accumulate": 3}, "does not divide"),
    ],
)
def test_a_setting_that_does_not_fit_is_reported(given, told):
    with pytest.raises(UserError, match=told):
        classifier(FEATURES, 0, **given)


def test_too_few_rows_are_reported():
    with pytest.raises(UserError, match="at least 50 rows"):
        classifier(FEATURES, 0).fit(X[:20], EVENT[:20])


@pytest.mark.parametrize("package", PROBLEMS)
def test_a_network_goes_through_the_training_pipeline_and_its_gates(package, new_platform):
    platform = new_platform(package)
    learn(platform)
    given = {"network": {"epochs": 8, "batch_rows": 256, "width": 32, "bins": 8}}
    params = TrainingParams(as_of=NOW, reason="test", estimators=("network",), settings=given, profile=True)
    candidate = platform.run("training", params, "network")
    manifest = platform.models.manifest(candidate.model)
    gates = {gate.gate: gate for gate in manifest.gates}
    assert gates["onnx_parity"].passed
    assert gates["absolute_quality"].passed, gates["absolute_quality"].reason
    assert gates["training_serving_skew"].passed
    assert manifest.estimator == "network"
    assert manifest.settings["epochs"] == 8
    assert "time of a step" in (platform.profiles / "network/network/summary.md").read_text()
    assert list((platform.profiles / "network/network").glob("*.pt.trace.json"))
    assert not (platform.checkpoints / "network").exists()


def test_nothing_imports_torch_before_a_network_is_made():
    program = """
import sys
from pipelines.bootstrap import Platform
from pipelines.config import Problem
import pipelines.training.pipeline, pipelines.entrypoints.cli.__main__
assert "network" in Problem.load("tests.problems.late").estimators
assert not {name for name in sys.modules if name.split(".")[0] == "torch"}
"""
    subprocess.run([sys.executable, "-c", program], check=True)
