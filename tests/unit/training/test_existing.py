"""A model that exists as ONNX is an estimator: it says what the file says, and is exported byte by byte."""

import numpy as np
import pytest

from pipelines.config import NUMERIC, UserError
from pipelines.training.existing import ExistingModel
from pipelines.training.export import to_onnx
from pipelines.training.train import predict
from tests.conftest import PROBLEMS
from tests.unit.training.test_export import FEATURES, MODELS, SIGNAL, X


@pytest.mark.parametrize("package", PROBLEMS)
def test_it_says_what_the_model_says_and_is_exported_as_it_is(package, tmp_path):
    problem, estimator = MODELS[package, "boosting"]
    task = problem.config.task
    (tmp_path / "ours.onnx").write_bytes(to_onnx(estimator, FEATURES, task))
    existing = ExistingModel(tmp_path / "ours.onnx", FEATURES).fit(X, SIGNAL)
    assert np.allclose(predict(existing, X, task), predict(estimator, X, task), atol=1e-5)
    assert to_onnx(existing, FEATURES, task) == (tmp_path / "ours.onnx").read_bytes()


def test_a_model_of_other_features_is_refused_by_name(tmp_path):
    problem, estimator = MODELS[PROBLEMS[0], "boosting"]
    (tmp_path / "ours.onnx").write_bytes(to_onnx(estimator, FEATURES, problem.config.task))
    with pytest.raises(UserError, match="the model needs unknown features: depot, queue"):
        ExistingModel(tmp_path / "ours.onnx", {"weight": NUMERIC})


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "ours.onnx").write_bytes(b"a pickle, say")
    with pytest.raises(UserError, match="not a model that ONNX Runtime can load"):
        ExistingModel(tmp_path / "ours.onnx", FEATURES)
