"""Bounds for a weighted mean over sources, by the bootstrap-t.

Positions of one text are alike, so texts (sources) are what is resampled. With values v_i and
weights w_i (positions of source i), n sources, the mean and its linearised standard error are

    m = sum w v / sum w        s = sqrt(n / (n - 1) * sum (w (v - m))^2) / sum w

Each resample gives a pivot t* = (m* - m) / s*, and m - q(t*) s bounds the true mean, q a quantile
of the pivots. Unlike percentiles of m*, that follows the skew of the values: KL divergence is
skewed, and percentile bounds of it are too low for a few dozen sources.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12.5; for the
standard error of a ratio of sums Cochran, Sampling Techniques (1977), chapter 6.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
CHUNK = 1 << 22
"""Resampled values held at once."""
LEAST_ERROR = 0.25
"""Of the sample's standard error: a resample that missed the few sources that differ has none of
its own, and its pivot would be infinite."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """A weighted mean, and how sure it is.

    Attributes:
        value: the mean.
        error: its standard error.
        pivots: float64 [resamples], sorted.
        sources: how many were resampled.
    """

    value: float
    error: float
    pivots: Floats
    sources: int

    def upper(self, confidence: float) -> float:
        """One-sided upper bound of the true mean."""
        if math.isinf(self.error):
            return math.inf
        return self.value - float(np.quantile(self.pivots, 1 - confidence)) * self.error

    def lower(self, confidence: float) -> float:
        """One-sided lower bound of the true mean."""
        if math.isinf(self.error):
            return -math.inf
        return self.value - float(np.quantile(self.pivots, confidence)) * self.error

    def p_above(self, limit: float) -> float:
        """p-value against the true mean being at most `limit`."""
        return self._p(limit, above=True)

    def p_below(self, limit: float) -> float:
        """p-value against the true mean being at least `limit`."""
        return self._p(limit, above=False)

    def _p(self, limit: float, *, above: bool) -> float:
        distance = self.value - limit if above else limit - self.value
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        if math.isinf(self.error):
            return 1.0
        pivots = self.pivots if above else -self.pivots
        return float((1 + (pivots >= distance / self.error).sum()) / (1 + len(pivots)))


def weighted_mean(
    values: ArrayLike, weights: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Bootstrap:
    """Mean of a value per source, weighted by the source's positions.

    Args:
        values: [n] finite.
        weights: [n] not negative, of which some are positive; sources of weight 0 do not count.
        seed: equal seeds give equal bounds.
        resamples: how often sources are drawn anew.

    Raises:
        ValueError: no source has a weight.
    """
    v, w = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    v, w = v[w > 0], w[w > 0]
    if not len(v):
        msg = "no source has a weight"
        raise ValueError(msg)
    mean, error = _mean_error(v[None], w[None])
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // len(v))
    parts = [
        _pivots(v, w, float(mean[0]), float(error[0]), rng, min(step, resamples - done))
        for done in range(0, resamples, step)
    ]
    return Bootstrap(float(mean[0]), float(error[0]), np.sort(np.concatenate(parts)), len(v))


def _pivots(
    v: Floats, w: Floats, mean: float, error: float, rng: np.random.Generator, count: int
) -> Floats:
    if error == 0 or math.isinf(error):
        return np.zeros(count)
    drawn = rng.integers(len(v), size=(count, len(v)))
    means, errors = _mean_error(v[drawn], w[drawn])
    found: Floats = (means - mean) / np.maximum(errors, LEAST_ERROR * error)
    return found


def _mean_error(v: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Means and standard errors [samples] of values and weights [samples, n]."""
    n, total = v.shape[1], w.sum(1)
    mean = (w * v).sum(1) / total
    if n == 1:
        return mean, np.full(len(v), np.inf)
    spread = ((w * (v - mean[:, None])) ** 2).sum(1)
    return mean, np.sqrt(n / (n - 1) * spread) / total
