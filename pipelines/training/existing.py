"""A model that exists already, as an estimator: the gates judge it as they judge any other (docs/adopt.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pipelines.config import FeatureType
from pipelines.feature.request import as_input
from pipelines.registry.scoring import Scorer

if TYPE_CHECKING:
    import pandas as pd


class ExistingModel:
    """An ONNX file, with an input [rows, 1] for each feature that it takes and one output ``prediction`` [rows].

    Fitting leaves it as it is, and its export is the file byte by byte.
    """

    def __init__(self, file: Path, features: Mapping[str, FeatureType]) -> None:
        self._onnx, self._features = file.read_bytes(), features
        self._scorer = Scorer(self._onnx, features)

    def fit(self, X: "pd.DataFrame", y: npt.NDArray[np.float64]) -> Self:  # noqa: ARG002  (the interface of scikit-learn)
        """Return the model as it is."""
        return self

    def predict(self, X: "pd.DataFrame") -> npt.NDArray[np.floating]:
        """Return what the file says of each row: the quantity, or the probability of the event."""
        return self._scorer({name: as_input(X[name], self._features[name]) for name in self._scorer.inputs})

    def predict_proba(self, X: "pd.DataFrame") -> npt.NDArray[np.floating]:
        """Return the probabilities of no event and of the event for each row, shape [rows, 2]."""
        event = self.predict(X)
        return np.stack([1 - event, event], axis=1)

    def to_onnx(self, features: Mapping[str, FeatureType]) -> bytes:  # noqa: ARG002  (those that it was loaded for)
        """Return the file."""
        return self._onnx
