"""Bounds against known truth, and against scipy's own bootstrap."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tasks.validate.statistics.bootstrap import weighted_mean

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Floats, Floats]]
RUNS, SOURCES, RESAMPLES = 1_000, 64, 1_000


def _skewed(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """KL of a text: log-normal, as it looks in real releases; texts of unequal length."""
    return rng.lognormal(-2.5, 0.4, SOURCES), rng.integers(64, 512, SOURCES).astype(float)


def _agreement(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Share of agreeing positions of a text, whose own rate differs from text to text."""
    weights = rng.integers(64, 512, SOURCES)
    return rng.binomial(weights, rng.beta(60, 6, SOURCES)) / weights, weights.astype(float)


def _difference(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Loss of a text, candidate less base: heavy on both sides."""
    return rng.standard_t(5, SOURCES) * 0.02 + 0.01, np.full(SOURCES, 256.0)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [(_skewed, np.exp(-2.5 + 0.4**2 / 2)), (_agreement, 60 / 66), (_difference, 0.01)],
)
def test_bounds_cover_the_truth(draw: Draw, truth: float) -> None:
    """Upper and lower 95% bounds each hold in 93 to 97% of 1,000 runs."""
    upper = lower = 0
    for run in range(RUNS):
        values, weights = draw(np.random.default_rng([7, run]))
        found = weighted_mean(values, weights, seed=run, resamples=RESAMPLES)
        upper += truth <= found.upper(0.95)
        lower += truth >= found.lower(0.95)
    assert 0.93 * RUNS <= upper <= 0.97 * RUNS
    assert 0.93 * RUNS <= lower <= 0.97 * RUNS


def test_bounds_agree_with_another_bootstrap() -> None:
    """With equal weights they are near scipy's BCa bounds, of the same order of accuracy."""
    values, _ = _skewed(np.random.default_rng(3))
    found = weighted_mean(values, np.ones(SOURCES), seed=1)
    for kind, bound in (("less", found.upper(0.95)), ("greater", found.lower(0.95))):
        known = stats.bootstrap(
            (values,), np.mean, alternative=kind, confidence_level=0.95, method="BCa", rng=1
        ).confidence_interval
        want = known.high if kind == "less" else known.low
        assert bound == pytest.approx(want, abs=0.25 * found.error)


@given(
    values=st.lists(st.floats(-5, 5), min_size=2, max_size=30),
    seed=st.integers(0, 9),
)
def test_bounds_are_the_seed_s(values: list[float], seed: int) -> None:
    """Equal seeds give equal bounds, which lie around the mean; a p-value says what they say."""
    weights = np.arange(1, len(values) + 1)
    found, again = (weighted_mean(values, weights, seed=seed, resamples=499) for _ in range(2))
    assert found.value == pytest.approx(np.average(values, weights=weights))
    assert (found.lower(0.95), found.upper(0.95)) == (again.lower(0.95), again.upper(0.95))
    if found.error > 1e-9:
        assert found.p_above(found.lower(0.95) - 1e-6) <= 0.06
        assert found.p_above(found.upper(0.95)) > 0.06 or found.upper(0.95) < found.value


def test_texts_that_all_agree_leave_no_doubt() -> None:
    """Without any spread the bounds are the value, and p-values are 0 or 1."""
    found = weighted_mean([1.0] * 8, [5] * 8, seed=0)
    assert found.lower(0.95) == found.upper(0.95) == 1
    assert (found.p_above(0.9), found.p_below(0.9)) == (0, 1)


def test_one_text_says_nothing_of_others() -> None:
    """A single source has bounds without end, whatever it shows."""
    found = weighted_mean([0.1], [300], seed=0)
    assert (found.lower(0.95), found.upper(0.95)) == (-np.inf, np.inf)


def test_no_text_is_refused() -> None:
    """There is no mean of sources that all weigh nothing."""
    with pytest.raises(ValueError, match="no source"):
        weighted_mean([1.0], [0], seed=0)
