"""Sequential tests, valid after every request: evidence that accumulates, instead of a p-value that is read once.

While the null hypothesis holds, the expected value of an e-value is at most 1 at any stopping time, so it reaches
``1 / alpha`` with a probability of at most ``alpha`` however often one looks (Ville's inequality; Ramdas, Grünwald,
Vovk and Shafer 2023, Game-theoretic statistics and safe anytime-valid inference). All functions return its logarithm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

_RATES = 12  # alternatives that a rate is weighed against
_WEIGHT = 100  # units that the prior around a share of traffic is worth
_EFFECT = 0.1  # the difference of means, in standard deviations of a row, to which the test is the most sensitive


def rate_evidence(count: int, rows: int, limit: float) -> float:
    """Return the evidence of a rate above ``limit`` behind ``count`` of ``rows``: a mixture of likelihood ratios."""
    if limit <= 0:
        return float("inf") if count else 0.0
    if limit >= 1 or not rows:
        return 0.0
    rates = np.geomspace(limit**0.9, limit**0.005, _RATES)  # from little above the limit to nearly always
    logs = count * np.log(rates / limit) + (rows - count) * np.log((1 - rates) / (1 - limit))
    return float(np.logaddexp.reduce(logs) - np.log(_RATES))


def ratio_evidence(count: int, total: int, share: float) -> float:
    """Return the evidence that ``count`` of ``total`` was not drawn with a probability of ``share``.

    The Bayes factor of a Beta prior around the share (Lindon and Malek 2022, Anytime-valid inference for multinomial
    count data, which is how they test a split of traffic).
    """
    from scipy.special import betaln

    a, b = _WEIGHT * share, _WEIGHT * (1 - share)
    unlike = betaln(a + count, b + total - count) - betaln(a, b)
    return float(unlike - count * np.log(share) - (total - count) * np.log1p(-share))


class Mean(NamedTuple):
    """The mean of a sample, the variance of that mean, and the standard deviation of a row."""

    value: float
    variance: float
    spread: float


def mean(values: Floats, units: Sequence[object] | npt.NDArray[np.integer] | None = None) -> Mean:
    """Return the mean of ``values`` of shape [rows]; rows of one unit (a customer, say) are not independent.

    The variance is then that of a mean of clusters (Liang and Zeger 1986).
    """
    centre = float(values.mean())
    residuals = values - centre
    if units is not None:
        _, unit = np.unique(np.asarray(units), return_inverse=True)
        residuals = np.bincount(unit, weights=residuals).astype(np.float64)
    groups = max(2, len(residuals))
    return Mean(centre, float((residuals**2).sum()) / len(values) ** 2 * groups / (groups - 1), float(values.std()))


def unit_means(values: Floats, units: npt.NDArray[np.integer]) -> Floats:
    """Return the mean of the values of each unit, of shape [units]: those are independent, their rows are not."""
    _, unit = np.unique(units, return_inverse=True)
    means: Floats = np.bincount(unit, weights=values) / np.bincount(unit)
    return means


def larger_evidence(now: Mean, usual: Mean) -> float:
    """Return the evidence that ``now`` is larger than ``usual``: the mixture sequential probability ratio test.

    One-sided, with a half-normal mixture over the effect (Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022, Always
    valid inference); exact for normal means and asymptotic for others.
    """
    from scipy.stats import norm

    if np.isclose(now.value, usual.value, rtol=1e-9, atol=0):  # no more than rounding, and its variance no more either
        return 0.0
    difference, variance, scale = _difference(now, usual)
    if variance == 0:
        return 0.0 if difference <= 0 else float("inf")
    total = variance + scale**2
    score = scale * difference / np.sqrt(variance * total)
    return float(np.log(2) + 0.5 * np.log(variance / total) + score**2 / 2 + norm.logcdf(score))


def difference_interval(now: Mean, usual: Mean, alpha: float) -> tuple[float, float]:
    """Return bounds of ``now - usual`` that hold at every look together with confidence ``1 - alpha``.

    The confidence sequence that belongs to the two-sided form of the test of :func:`larger_evidence`.
    """
    difference, variance, scale = _difference(now, usual)
    if variance == 0:
        return difference, difference
    total = variance + scale**2
    half = float(np.sqrt(variance * total / scale**2 * 2 * np.log(np.sqrt(total / variance) / alpha)))
    return difference - half, difference + half


def distance_bound(now: Floats, usual: Floats, alpha: float) -> float:
    """Return a lower bound on the Kolmogorov-Smirnov distance between the distributions of two samples.

    It holds at every look together with confidence ``1 - alpha`` (Howard and Ramdas 2022, Sequential estimation of
    quantiles, equation 8: a bound on the empirical distribution function that is uniform over time).
    """
    from scipy.stats import ks_2samp

    radii = sum(_radius(len(sample), alpha / 2) for sample in (now, usual))
    return float(ks_2samp(now, usual, method="asymp").statistic) - radii


def _radius(rows: int, alpha: float) -> float:
    return 0.85 * float(np.sqrt((np.log(np.log(np.e * rows)) + 0.8 * np.log(1612 / alpha)) / rows))


def _difference(now: Mean, usual: Mean) -> tuple[float, float, float]:
    scale = _EFFECT * max(now.spread, usual.spread)
    return now.value - usual.value, now.variance + usual.variance, scale
