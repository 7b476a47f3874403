"""The encoding of columns for a network: vocabularies, the centre and scale of numbers, quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureType

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]
_Number = TypeVar("_Number", np.float32, np.int32)

_SAMPLE = 200_000  # rows that quantiles are taken from
_RARE = 5  # a category of fewer rows is treated as unknown, so that unknown ones are learnt from it


class Encoded(NamedTuple):
    """Rows as arrays: numbers float32 [rows, numeric features] with NaN where missing, codes int32 [rows, texts]."""

    numbers: Floats
    codes: Codes


@dataclass(frozen=True)
class Encoding:
    """How columns become arrays; code 0 stands for categories that did not occur in training.

    ``center`` and ``scale`` have shape [numbers]: median and half the distance of the outer deciles. ``left`` and
    ``per_width`` have shape [numbers, bins]: where each interval between quantiles starts, and one by its width, 0
    for an interval that does not exist because values repeat.
    """

    numeric: tuple[str, ...]
    texts: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    center: Floats
    scale: Floats
    left: Floats
    per_width: Floats

    @classmethod
    def fit(cls, X: pd.DataFrame, features: Mapping[str, FeatureType], bins: int, seed: int) -> Self:
        """Learn the encoding from training rows."""
        numeric = tuple(name for name, kind in features.items() if kind is FeatureType.NUMERIC)
        texts = tuple(name for name, kind in features.items() if kind is FeatureType.CATEGORICAL)
        vocabularies = tuple(_vocabulary(X[name]) for name in texts)
        sample = X if len(X) <= _SAMPLE else X.sample(_SAMPLE, random_state=seed)
        numbers = sample[list(numeric)].to_numpy(np.float32)
        center, scale = np.zeros(len(numeric), np.float32), np.ones(len(numeric), np.float32)
        left, per_width = (np.zeros((len(numeric), bins), np.float32) for _ in range(2))
        for number, column in enumerate(numbers.T):
            known = column[np.isfinite(column)]
            if not len(known):
                continue
            low, center[number], high = np.quantile(known, [0.1, 0.5, 0.9])
            scale[number] = (high - low) / 2 or known.std() or 1
            edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)).astype(np.float32))
            left[number, : len(edges) - 1] = edges[:-1]
            per_width[number, : len(edges) - 1] = 1 / np.diff(edges)
        return cls(numeric, texts, vocabularies, center, scale, left, per_width)

    def __call__(self, X: pd.DataFrame | pa.Table) -> Encoded:
        """Return rows as arrays; a missing text is the empty one."""
        numbers = [_numbers(X, name) for name in self.numeric]
        codes = [_codes(X, name, known) for name, known in zip(self.texts, self.vocabularies, strict=True)]
        return Encoded(_side_by_side(numbers, len(X), np.float32), _side_by_side(codes, len(X), np.int32))


def _numbers(X: pd.DataFrame | pa.Table, name: str) -> Floats:
    if isinstance(X, pd.DataFrame):
        return X[name].to_numpy(np.float32)
    return X[name].cast(pa.float32()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _codes(X: pd.DataFrame | pa.Table, name: str, vocabulary: tuple[str, ...]) -> Codes:
    texts = pa.array(X[name], pa.string()) if isinstance(X, pd.DataFrame) else X[name]
    places = pc.index_in(pc.fill_null(texts, ""), value_set=pa.array(vocabulary, pa.string()))
    return pc.add(pc.fill_null(places, -1), 1).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _side_by_side(columns: list[npt.NDArray[_Number]], rows: int, kind: type[_Number]) -> npt.NDArray[_Number]:
    return np.stack(columns, axis=1, dtype=kind) if columns else np.zeros((rows, 0), kind)


def _vocabulary(values: "pd.Series[str]") -> tuple[str, ...]:
    counts = values.value_counts()
    return tuple(sorted(str(value) for value in counts.index[counts >= _RARE]))
