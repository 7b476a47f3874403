"""Scoring: applies an ONNX file to columns of features; gates and the serving app predict in no other way."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa

from pipelines.config import FeatureType, UserError

Columns = Mapping[str, npt.NDArray[Any]]


class Scorer:
    """A loaded ONNX model. It takes each feature as its own input, so the file describes itself.

    Numeric features go in as float32 [rows, 1] and categorical ones as strings [rows, 1]; the one output is
    ``prediction``, float32 [rows]: the probability of the event, or the quantity. ``inputs`` names the features that
    the model takes, in their order.
    """

    def __init__(self, onnx: bytes, features: Mapping[str, FeatureType], threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # we report an input that the graph cannot score
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UserError(f"this is not a model that ONNX Runtime can load: {error}") from error
        inputs = {given.name for given in self._session.get_inputs()}
        if not inputs <= set(features):
            raise UserError(f"the model needs unknown features: {', '.join(sorted(inputs - set(features)))}")
        self.inputs = [name for name in features if name in inputs]  # an estimator may ignore a feature

    def __call__(self, features: Columns) -> npt.NDArray[np.float32]:
        """Return one prediction for each row."""
        feed = {name: features[name].reshape(-1, 1) for name in self.inputs}
        return self._session.run(["prediction"], feed)[0].reshape(-1)  # type: ignore[no-any-return]


def columns(frame: pa.Table, features: Mapping[str, FeatureType]) -> Columns:
    """Return the features of an Arrow table as model inputs."""
    return {name: _column(frame[name], kind) for name, kind in features.items()}


def _column(values: pa.ChunkedArray, kind: FeatureType) -> npt.NDArray[Any]:
    if kind is FeatureType.CATEGORICAL:
        return np.asarray(values.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False), dtype=object)
    return np.asarray(values.cast(pa.float32()).to_numpy(zero_copy_only=False), dtype=np.float32)
