"""Drift: how far the distribution of a column has moved from the one that the model was trained on."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureType, StrictModel

Column = npt.NDArray[np.floating] | npt.NDArray[np.object_]
"""A column of numbers, NaN where missing, or of texts, empty where missing; shape [rows]."""

_FLOOR = 1e-4  # the share that an empty bin counts as; without it one unseen value makes the index infinite


class Distribution(StrictModel):
    """A column's distribution as shares of bins, stored with the model in place of its training data.

    Numeric: the ``shares`` of the bins between ``edges``, each with its left edge and without its right one, open at
    both ends, then the share of missing values. The outer bins are below the least and above the greatest value; a
    value that many rows have is a bin of its own.
    Categorical: the shares of ``categories``, the most frequent first, then of all other values, then of missing ones.
    ``median`` is the median of the known numbers, None when there are none.
    """

    kind: FeatureType
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    shares: tuple[float, ...]
    median: float | None = None

    @property
    def typical(self) -> float | str | None:
        """The median, or the most frequent category; None when every value was missing."""
        return next(iter(self.categories), None) if self.kind is FeatureType.CATEGORICAL else self.median

    def edge(self, share: float) -> float:
        """Return the edge below which nearest to that share of the known numbers lies."""
        below = np.cumsum(self.shares[:-2]) / (1 - self.shares[-1])
        return self.edges[int(np.abs(below - share).argmin())]


class Reference(StrictModel):
    """The distributions of a model's features, and of its predictions, when it was trained."""

    features: dict[str, Distribution]
    prediction: Distribution


def describe(values: Column, kind: FeatureType, bins: int = 10) -> Distribution:
    """Return the distribution of a training column; numbers go into ``bins`` of equally many values."""
    if kind is FeatureType.CATEGORICAL:
        counts = {value: count for value, count in _counts(values).items() if value != ""}
        kept = sorted(counts, key=lambda value: (-counts[value], value))[:50]
        shape = Distribution(kind=kind, categories=tuple(kept), shares=())
    else:
        known = values[~np.isnan(values)].astype(np.float64)
        median = float(np.median(known)) if len(known) else None
        shape = Distribution(kind=kind, edges=_edges(known, bins), shares=(), median=median)
    return shape.model_copy(update={"shares": tuple(float(share) for share in shares(values, shape))})


def _edges(known: npt.NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Return the edges of ``bins`` of equally many values, of their ends, and of each value with as many as a bin."""
    if not len(known):
        return ()
    quantiles = np.quantile(known, np.linspace(0, 1, bins + 1), method="inverted_cdf")
    often = [value for value in np.unique(quantiles) if (known == value).mean() >= 1 / bins]
    last = np.nextafter([quantiles[-1], *often], np.inf)  # the least number above
    return tuple(float(edge) for edge in np.unique([*quantiles[:-1], *often, *last]))


def shares(values: Column, shape: Distribution) -> npt.NDArray[np.float64]:
    """Return the shares of ``values`` in the bins of a distribution."""
    if shape.kind is FeatureType.CATEGORICAL:
        position = {category: number for number, category in enumerate(shape.categories)}
        other = len(position)
        binned = np.zeros(other + 2)
        for value, count in _counts(values).items():
            binned[other + 1 if value == "" else position.get(value, other)] += count
    else:
        numbers = values.astype(np.float64)
        missing = np.isnan(numbers)
        inside = np.searchsorted(shape.edges, numbers[~missing], side="right")
        binned = np.append(np.bincount(inside, minlength=len(shape.edges) + 1), missing.sum()).astype(np.float64)
    return binned / max(1.0, binned.sum())  # type: ignore[no-any-return]


def psi(reference: Distribution, found: npt.NDArray[np.float64]) -> float:
    """Return the population stability index of :func:`shares` that were found, against a reference distribution.

    The sum over bins of (actual - expected) * ln(actual / expected). By custom below 0.1 is stable and above 0.25 a
    shift worth acting on (Siddiqi 2006, Credit Risk Scorecards).
    """
    expected = np.maximum(reference.shares, _FLOOR)
    actual = np.maximum(found, _FLOOR)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def unseen(reference: Distribution, found: npt.NDArray[np.float64]) -> float:
    """Return by how much the share of categories that are not training's most frequent ones has risen."""
    if reference.kind is not FeatureType.CATEGORICAL:
        return 0.0
    other = len(reference.categories)
    return float(found[other] - reference.shares[other])


def _counts(values: Column) -> dict[str, int]:
    counted = pc.value_counts(pa.array(values, pa.string()))
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
